// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title IEscrow
/// @notice Holds what one party owes another until a condition is met: an oracle's attestation, the
/// consent of both, an arbiter's decision, or a date.
/// @dev There is no owner, no administrator, and no upgrade. Terms are given with every call and hashed
/// to an id. The funds of each escrow lie in a purse of its own, whose address follows from the id, so
/// that a plain payment funds it, before there is code, and cannot be taken for another's. Only this
/// contract moves what lies in a purse, and only to the payee, to the payer, or where one of them claims
/// what it could not be paid.
/// @dev Until `expiry` + {GRACE} only the operator can have funds moved: it screens payee and payer
/// first. From then on anybody may make any call whose conditions hold. No later than
/// `expiry` + {GRACE} + {NOTICE} one of them always holds, {expire}'s: see docs/contracts.md.
/// @dev An asset is named by its token's address; zero is the chain's native coin. Amounts are in the
/// asset's smallest unit; times in seconds.
interface IEscrow {
    /// @notice What an escrow is about.
    /// @param order What the operator calls it; any word, and what makes two escrows alike two.
    /// @param asset The token, or zero for the native coin.
    /// @param amount What the payee is to have, all in all. Anything beyond it is the payer's. More than
    /// 128 bits count as that much.
    /// @param payer Consents, disputes, and is where refunds and any surplus go.
    /// @param payee Consents, disputes, and is where releases go.
    /// @param arbiter Divides what is left once somebody disputes; zero for nobody, and no disputes.
    /// @param oracle Attests how much is to be released; zero for nobody, and no releases.
    /// @param operator Before `expiry` + {GRACE} only it can have funds moved.
    /// @param expiry When disputes can be raised no more and what is left goes where `paysAtExpiry` says.
    /// @param paysAtExpiry Whether what is left at the expiry goes to the payee, or else to the payer.
    struct Terms {
        bytes32 order;
        address asset;
        uint256 amount;
        address payer;
        address payee;
        address arbiter;
        address oracle;
        address operator;
        uint64 expiry;
        bool paysAtExpiry;
    }

    /* EVENTS */

    /// @notice The purse has code from now on; its first payment follows.
    event Opened(bytes32 indexed id, bytes32 indexed order, address purse);

    /// @notice `amount` became the payee's.
    /// @param total Everything that has, this included.
    /// @param evidence What the oracle attested it for; zero when it was not the oracle.
    event Released(
        bytes32 indexed id, bytes32 indexed order, uint256 amount, uint256 total, bytes32 evidence
    );

    /// @notice `amount` became the payer's again.
    event Refunded(bytes32 indexed id, bytes32 indexed order, uint256 amount);

    /// @notice `by` disputes. Until it is resolved or lapses, only arbiter or consent move anything.
    event Disputed(bytes32 indexed id, bytes32 indexed order, address by, bytes32 reason);

    /// @notice Payer and payee consented; the sums are also in {Released} and {Refunded}.
    event Settled(bytes32 indexed id, bytes32 indexed order, uint256 toPayee, uint256 toPayer);

    /// @notice The arbiter decided; the sums are also in {Released} and {Refunded}.
    event Resolved(bytes32 indexed id, bytes32 indexed order, uint256 toPayee, uint256 toPayer);

    /// @notice Nothing is released or refunded any more. Whatever else lies in the purse is the payer's.
    event Ended(bytes32 indexed id, bytes32 indexed order, uint256 released, uint256 refunded);

    /// @notice `amount` of what became `party`'s could not be paid, and waits in the purse for {claim}.
    event Owed(bytes32 indexed id, bytes32 indexed order, address indexed party, uint256 amount);

    /// @notice `amount` of what was owed to `party` was paid to `to`.
    event Claimed(
        bytes32 indexed id, bytes32 indexed order, address indexed party, address to, uint256 amount
    );

    /// @notice `amount` that was too much, or came too late, became the payer's.
    event Swept(bytes32 indexed id, bytes32 indexed order, uint256 amount);

    /// @notice `amount` of an `asset` that the terms are not about went from the purse to the payer.
    event Returned(
        bytes32 indexed id, bytes32 indexed order, address indexed asset, uint256 amount
    );

    /* CONSTANTS */

    /// @notice Seconds after the expiry in which still only the operator can have funds moved.
    function GRACE() external view returns (uint256);

    /// @notice Seconds after which a dispute lapses that nobody resolved.
    function RESOLVE_TIME() external view returns (uint256);

    /// @notice Seconds after the grace in which others than the operator cannot {expire} yet, so that
    /// what oracle, arbiter or both parties signed comes first when the operator is gone.
    function NOTICE() external view returns (uint256);

    /// @notice Gas that a payment may use when its failure would be recorded instead of reverting.
    function PAY_GAS_CAP() external view returns (uint256);

    /// @notice Gas that must be left beside the cap.
    function PAY_GAS_RESERVE() external view returns (uint256);

    /// @notice The code that all purses share: the first contract that this one created.
    function PURSE() external view returns (address);

    /* STATE */

    /// @notice The id under which an escrow of these terms is known:
    /// `keccak256(abi.encode(chain id at deployment, this contract, terms))`.
    function idOf(Terms calldata terms) external view returns (bytes32);

    /// @notice Where the funds of an escrow of these terms lie: the CREATE2 address, by this contract and
    /// salted with the id, of a minimal proxy (ERC-1167) of {PURSE}. It can be computed without a node,
    /// and has to be by whoever does not trust one. Reverts for terms under which funds could only go
    /// astray.
    function purseOf(Terms calldata terms) external view returns (address);

    /// @notice What has happened to the escrow so far; all zero when nothing has.
    /// @param released What became the payee's, paid or owed.
    /// @param refunded What became the payer's again, paid or owed.
    /// @param disputedAt When it was last disputed; zero when never.
    /// @param ended Whether nothing is released or refunded any more.
    function state(bytes32 id)
        external
        view
        returns (uint128 released, uint128 refunded, uint64 disputedAt, bool ended);

    /// @notice What can still be released or refunded: the amount less what has been, as far as the purse
    /// holds it; zero when ended.
    function left(Terms calldata terms) external view returns (uint256);

    /// @notice What `party` could not be paid, and may {claim}.
    function owed(bytes32 id, address party) external view returns (uint256);

    /* CALLS */

    /// @notice Pays the payee what the oracle attests, less what it had: `total` - released.
    /// @dev The total is cumulative, so that whoever sends an attestation twice pays nothing twice. When
    /// the purse holds less, what it holds is paid, and the same attestation pays the rest later.
    /// @dev Also possible after the expiry, until the escrow has ended.
    /// @param signature The oracle's of `Release(bytes32 id,uint256 total,bytes32 evidence)`.
    function release(
        Terms calldata terms,
        uint256 total,
        bytes32 evidence,
        bytes calldata signature
    ) external;

    /// @notice Pays what both parties agreed on. The only way, beside the arbiter's, in a dispute.
    /// @dev Warning: what was signed can be used until something is released or refunded.
    /// @param payerSignature The payer's of
    /// `Settlement(bytes32 id,uint256 toPayee,uint256 toPayer,uint256 paidBefore)`, where `paidBefore` is
    /// released + refunded.
    /// @param payeeSignature The payee's of the same.
    function settle(
        Terms calldata terms,
        uint256 toPayee,
        uint256 toPayer,
        bytes calldata payerSignature,
        bytes calldata payeeSignature
    ) external;

    /// @notice Stops {release} and {expire} until the arbiter resolves or {RESOLVE_TIME} has passed. Payer
    /// or payee, each once, before the expiry; anybody may bring it.
    /// @param by Who disputes.
    /// @param signature The disputing party's of `Dispute(bytes32 id,bytes32 reason)`; may be empty when
    /// it is the caller.
    function dispute(Terms calldata terms, address by, bytes32 reason, bytes calldata signature)
        external;

    /// @notice Divides what is left as the arbiter decided, and ends the escrow. What the arbiter gives to
    /// neither is surplus, and so the payer's.
    /// @dev Also possible when the dispute has lapsed, until the escrow has ended.
    /// @param signature The arbiter's of
    /// `Resolution(bytes32 id,uint256 toPayee,uint256 toPayer,uint256 paidBefore)`.
    function resolve(
        Terms calldata terms,
        uint256 toPayee,
        uint256 toPayer,
        bytes calldata signature
    ) external;

    /// @notice After the expiry, and while no dispute is open: what is left goes where the terms say, and
    /// the escrow ends. Others than the operator wait for {GRACE} and {NOTICE}.
    function expire(Terms calldata terms) external;

    /// @notice Pays the payer what lies in the purse of an escrow that has ended and is owed to nobody.
    function sweep(Terms calldata terms) external;

    /// @notice Pays the payer what lies in the purse of an `asset` that the terms are not about: somebody
    /// has paid it there by mistake.
    /// @dev Reverts when the purse would hold less of the terms' own asset afterwards: some tokens answer
    /// at two addresses.
    function returnOther(Terms calldata terms, address asset) external;

    /// @notice Pays `amount` of what is owed to `party`: for the party itself to any address, for others
    /// to the party.
    function claim(Terms calldata terms, address party, address to, uint256 amount) external;
}
