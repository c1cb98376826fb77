// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title IVault
/// @notice Holds an inventory of tokens and native coin, and pays many orders in one transaction, each
/// batch once.
/// @dev Four roles. A settler pays batches within each asset's spending window. The pauser stops every
/// outflow and revokes announcements. The treasury is where withdrawals go, and nowhere else. The
/// owner names the others; what gives anybody more reach than before it has to announce {DELAY} ahead,
/// what takes reach away works at once.
/// @dev An asset is named by its token's address; zero is the chain's native coin. Amounts are in the
/// asset's smallest unit.
interface IVault {
    /// @notice A leaky bucket, in one storage slot: what was spent and has not drained yet.
    /// @param limit The most that may leave in any {WINDOW}, whenever it begins; zero when not listed.
    /// @param level What was spent and had not drained when `updatedAt` was written.
    /// @param updatedAt When the level was written, in seconds, modulo 2^32; zero when never listed.
    struct Window {
        uint112 limit;
        uint112 level;
        uint32 updatedAt;
    }

    /* EVENTS */

    /// @notice A batch was executed. It is the only proof of payment: a batch without it paid nobody.
    /// @param batchId The id of the batch, from the operator's own sequence.
    /// @param root The Merkle root of the orders in the batch.
    /// @param asset What was paid.
    /// @param paid The sum of all payouts made.
    /// @param skippedCount How many rows were skipped; each has its own {PayoutSkipped}.
    event BatchPaid(
        uint256 indexed batchId,
        bytes32 indexed root,
        address indexed asset,
        uint256 paid,
        uint256 skippedCount
    );

    /// @notice A row of the batch was not paid; what it asked for stays in the vault.
    /// @param batchId The id of the batch.
    /// @param index The row's position in the batch, from zero.
    event PayoutSkipped(uint256 indexed batchId, uint256 index);

    /// @notice `asset` may be paid out from now on, at most `limit` in any {WINDOW}.
    event AssetListed(address indexed asset, uint256 limit);

    /// @notice At most `limit` of `asset` may leave in any {WINDOW} from now on; zero stops it.
    event LimitSet(address indexed asset, uint256 limit);

    /// @notice `account` may settle batches from now on, or no longer.
    event SettlerSet(address indexed account, bool allowed);

    /// @notice `account` is the pauser from now on.
    event PauserSet(address indexed account);

    /// @notice Withdrawals go to `account` from now on.
    event TreasurySet(address indexed account);

    /// @notice The owner will be able to make the call `data` between `executableAt` and
    /// `executableAt` + {GRACE}.
    event Announced(bytes4 indexed selector, bytes data, uint256 executableAt);

    /// @notice The announced call `data` cannot be made any more.
    event Revoked(bytes4 indexed selector, bytes data);

    /// @notice `amount` of `asset` went to the treasury.
    event Withdrawn(address indexed asset, address indexed treasury, uint256 amount);

    /* CONSTANTS */

    /// @notice Gas that one token transfer may use.
    /// @dev An ordinary token needs 30,000 to 65,000 behind a proxy.
    function TOKEN_GAS_CAP() external view returns (uint256);

    /// @notice Gas that the recipient of native coin may use, the 2,300 stipend not counted.
    function NATIVE_GAS_CAP() external view returns (uint256);

    /// @notice Gas that must be left beside the cap when a failed row is tried again.
    /// @dev What a call costs before it forwards anything: account creation, value transfer and cold
    /// access take up to 36,600 of it.
    function ROW_GAS_RESERVE() external view returns (uint256);

    /// @notice The shortest row, in bytes: 20 of the recipient and 1 of the amount.
    function ROW_BYTES_MIN() external view returns (uint256);

    /// @notice The longest row, in bytes: 20 of the recipient and 14 of the amount.
    function ROW_BYTES_MAX() external view returns (uint256);

    /// @notice The span that a limit is about, in seconds.
    function WINDOW() external view returns (uint256);

    /// @notice Seconds between an announcement and the first moment that it may be acted upon.
    function DELAY() external view returns (uint256);

    /// @notice Seconds for which an announcement may be acted upon, after which it is void.
    function GRACE() external view returns (uint256);

    /* STATE */

    /// @notice Whether `account` may settle batches.
    function isSettler(address account) external view returns (bool);

    /// @notice The account that may stop every outflow, beside the owner.
    function pauser() external view returns (address);

    /// @notice Where withdrawals go.
    function treasury() external view returns (address);

    /// @notice The bucket of `asset` as last written; {available} is what a caller wants to know.
    function window(address asset)
        external
        view
        returns (uint112 limit, uint112 level, uint32 updatedAt);

    /// @notice How much of `asset` a settler may pay out now: half the limit less what has not drained.
    function available(address asset) external view returns (uint256);

    /// @notice The Merkle root under which `batchId` was paid; zero when it never was.
    /// @dev Written once. It guards against a second payment, whoever signs it, and is the anchor
    /// from which an order's receipt can be verified.
    function batchRoot(uint256 batchId) external view returns (bytes32);

    /// @notice Which rows of `batchId` were skipped: bit `index % 256` of word `index / 256`.
    function skippedRows(uint256 batchId, uint256 word) external view returns (uint256);

    /// @notice When the announced call of this hash may be made, in seconds; zero when none is announced.
    function executableAt(bytes32 callHash) external view returns (uint256);

    /* SETTLEMENT */

    /// @notice Pays every row that can be paid, and reports the others. Settlers only.
    /// @dev A row that fails is tried once more with its full gas cap. It is skipped, with
    /// {PayoutSkipped} and its bit in {skippedRows}, when that too reverts, returns false, returns
    /// something that is no boolean, or uses more than the cap; and when native coin would go to the
    /// zero address or to this vault. The batch reverts instead, and pays nobody, when a row fails for
    /// want of gas, inventory or a working token, or when the sum exceeds the asset's window: those
    /// faults are not the recipient's.
    /// @dev Whatever a token answers, no batch ends with less than before minus what it reports as paid.
    /// @dev Warning: a token's row to this vault, to the token, or to the zero address of a token that
    /// would burn it is not caught here: the settler must not write one.
    /// @dev Warning: `root` is recorded as given. The vault does not check it against `rows`.
    /// @dev Warning: an estimate of gas holds while recipients behave as they did for the estimate. Leave
    /// room in the gas limit for one that fails meanwhile.
    /// @param batchId An id never paid before.
    /// @param root The Merkle root of the orders; not zero. See {verifyReceipt} for its leaves.
    /// @param asset A listed asset.
    /// @param rowBytes How long a row is, {ROW_BYTES_MIN} to {ROW_BYTES_MAX}. The shortest that holds
    /// the batch's largest amount is the cheapest; with 32 a row is one word and an amount has 96 bits.
    /// @param rows The rows and nothing between them, each the recipient (20 bytes) and the amount
    /// (the remaining bytes, big-endian).
    function payBatch(
        uint256 batchId,
        bytes32 root,
        address asset,
        uint256 rowBytes,
        bytes calldata rows
    ) external;

    /// @notice Whether the settler stated, in the root of `batchId`, that row `index` pays `amount` of
    /// `asset` to `recipient` for the order, and the row was not skipped.
    /// @dev The leaf is `keccak256(keccak256(abi.encode(index, orderHash, recipient, asset, amount)))`;
    /// pairs are hashed in sorted order, as OpenZeppelin's MerkleProof has it.
    /// @dev Warning: the root is the settler's statement. Who doubts the settler also looks for the
    /// token's own Transfer log in the batch's transaction, in a block that is final.
    /// @param orderHash `keccak256` of the order's id.
    function verifyReceipt(
        uint256 batchId,
        uint256 index,
        bytes32 orderHash,
        address recipient,
        address asset,
        uint256 amount,
        bytes32[] calldata proof
    ) external view returns (bool);

    /* BRAKES */

    /// @notice Stops every outflow, withdrawals included. Pauser or owner.
    function pause() external;

    /// @notice Lets the vault pay again. Owner only, so that a stolen pauser key cannot undo a pause.
    function unpause() external;

    /// @notice Takes back the announcement of the call `data`. Owner; the pauser too, except for
    /// {setPauser}: it can hold things up, and cannot defend its own seat for ever.
    function revoke(bytes calldata data) external;

    /* OWNERSHIP */

    /// @notice Announces the call `data` to this vault; announcing it again starts the wait again.
    /// Owner only.
    function announce(bytes calldata data) external;

    /// @notice Allows an asset never listed before to be paid out. Owner only.
    /// @dev Takes `probe` of the token from the owner, who approved it, moves it about and gives it
    /// back: a token that takes a fee, answers false or refuses to be sent to its sender is refused.
    /// @param limit The most that may leave in any {WINDOW}, not zero: half of it at once, the other
    /// half as it drains.
    /// @param probe An amount large enough for a fee to show; without meaning for the native coin.
    function listAsset(address asset, uint112 limit, uint256 probe) external;

    /// @notice Changes the limit of an asset that was listed before. Owner only; announced when it rises.
    function setLimit(address asset, uint112 limit) external;

    /// @notice Allows or forbids `account` to settle batches. Owner only; announced when it allows.
    function setSettler(address account, bool allowed) external;

    /// @notice Names the pauser, zero for none beside the owner. Owner only; announced.
    function setPauser(address account) external;

    /// @notice Names the address that withdrawals go to. Owner only; announced.
    function setTreasury(address account) external;

    /// @notice Sends `amount` of `asset`, listed or not, to the treasury. Owner only; announced; refused
    /// while paused.
    function withdraw(address asset, uint256 amount) external;
}
