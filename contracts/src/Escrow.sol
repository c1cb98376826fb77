// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "./interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "./libraries/EscrowErrorsLib.sol";
import {Purse} from "./Purse.sol";

/// @title Escrow
/// @notice Holds funds until a condition is met, each escrow's in a purse of its own. See {IEscrow}.
contract Escrow is IEscrow, EIP712, ReentrancyGuardTransient {
    /// @dev What is released or refunded counts as such when it is owed, too; `reserved` is what is owed
    /// to both parties together, which lies in the purse and belongs to no escrow any more.
    struct State {
        uint128 released;
        uint128 refunded;
        uint128 reserved;
        uint64 disputedAt;
        bool ended;
        bool disputedByPayer;
        bool disputedByPayee;
    }

    /* CONSTANTS */

    /// @inheritdoc IEscrow
    uint256 public constant GRACE = 30 days;
    /// @inheritdoc IEscrow
    uint256 public constant RESOLVE_TIME = 30 days;
    /// @inheritdoc IEscrow
    uint256 public constant NOTICE = 7 days;
    /// @inheritdoc IEscrow
    uint256 public constant PAY_GAS_CAP = 250_000;
    /// @inheritdoc IEscrow
    uint256 public constant PAY_GAS_RESERVE = 80_000;

    address internal constant NATIVE = address(0);

    bytes32 internal constant RELEASE_TYPEHASH =
        keccak256("Release(bytes32 id,uint256 total,bytes32 evidence)");
    bytes32 internal constant SETTLEMENT_TYPEHASH =
        keccak256("Settlement(bytes32 id,uint256 toPayee,uint256 toPayer,uint256 paidBefore)");
    bytes32 internal constant DISPUTE_TYPEHASH = keccak256("Dispute(bytes32 id,bytes32 reason)");
    bytes32 internal constant RESOLUTION_TYPEHASH =
        keccak256("Resolution(bytes32 id,uint256 toPayee,uint256 toPayer,uint256 paidBefore)");

    /* IMMUTABLES */

    /// @dev Of the deployment: should the chain split and its id change, ids and so purses stay where
    /// they are. Signatures follow the chain that they are used on.
    uint256 internal immutable CHAIN_ID = block.chainid;
    /// @inheritdoc IEscrow
    address public immutable PURSE = address(new Purse());

    /* STORAGE */

    mapping(bytes32 id => State) internal _states;
    /// @inheritdoc IEscrow
    mapping(bytes32 id => mapping(address party => uint256)) public owed;

    /* CONSTRUCTOR */

    constructor() EIP712("Tidegate Escrow", "1") {}

    /* STATE */

    /// @inheritdoc IEscrow
    function idOf(Terms calldata terms) public view returns (bytes32) {
        return keccak256(abi.encode(CHAIN_ID, address(this), terms));
    }

    /// @inheritdoc IEscrow
    function purseOf(Terms calldata terms) external view returns (address) {
        return _purseOf(_validId(terms));
    }

    /// @inheritdoc IEscrow
    function state(bytes32 id)
        external
        view
        returns (uint128 released, uint128 refunded, uint64 disputedAt, bool ended)
    {
        State storage s = _states[id];
        return (s.released, s.refunded, s.disputedAt, s.ended);
    }

    /// @inheritdoc IEscrow
    function left(Terms calldata terms) external view returns (uint256) {
        return _left(terms, _validId(terms));
    }

    /* CALLS */

    /// @inheritdoc IEscrow
    function release(
        Terms calldata terms,
        uint256 total,
        bytes32 evidence,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = _enter(terms, GRACE);
        _requireNoDispute(id);
        if (terms.oracle == address(0)) revert EscrowErrorsLib.NoOracle();
        if (total > terms.amount) revert EscrowErrorsLib.TotalAboveAmount(total, terms.amount);
        _requireSigned(
            terms.oracle, keccak256(abi.encode(RELEASE_TYPEHASH, id, total, evidence)), signature
        );
        uint256 released = _states[id].released;
        uint256 amount = total > released ? Math.min(total - released, _left(terms, id)) : 0;
        if (amount == 0) revert EscrowErrorsLib.NothingToPay();

        _divide(terms, id, amount, 0, evidence, false);
    }

    /// @inheritdoc IEscrow
    function settle(
        Terms calldata terms,
        uint256 toPayee,
        uint256 toPayer,
        bytes calldata payerSignature,
        bytes calldata payeeSignature
    ) external nonReentrant {
        bytes32 id = _enter(terms, GRACE);
        if (toPayee == 0 && toPayer == 0) revert EscrowErrorsLib.NothingToPay();
        bytes32 message = _division(SETTLEMENT_TYPEHASH, id, toPayee, toPayer);
        _requireSigned(terms.payer, message, payerSignature);
        _requireSigned(terms.payee, message, payeeSignature);

        emit Settled(id, terms.order, toPayee, toPayer);

        _divide(terms, id, toPayee, toPayer, bytes32(0), false);
    }

    /// @inheritdoc IEscrow
    function dispute(Terms calldata terms, address by, bytes32 reason, bytes calldata signature)
        external
        nonReentrant
    {
        bytes32 id = _validId(terms);
        State storage s = _states[id];
        if (s.ended) revert EscrowErrorsLib.AlreadyEnded(id);
        if (block.timestamp >= terms.expiry) revert EscrowErrorsLib.TooLate(terms.expiry);
        if (terms.arbiter == address(0)) revert EscrowErrorsLib.NoArbiter();
        if (by != terms.payer && by != terms.payee) revert EscrowErrorsLib.NotParty(by);
        if (by == terms.payer ? s.disputedByPayer : s.disputedByPayee) {
            revert EscrowErrorsLib.DisputedBefore(by);
        }
        _requireNoDispute(id);
        if (msg.sender != by || signature.length != 0) {
            _requireSigned(by, keccak256(abi.encode(DISPUTE_TYPEHASH, id, reason)), signature);
        }

        s.disputedAt = uint64(block.timestamp);
        if (by == terms.payer) s.disputedByPayer = true;
        else s.disputedByPayee = true;

        emit Disputed(id, terms.order, by, reason);
    }

    /// @inheritdoc IEscrow
    function resolve(
        Terms calldata terms,
        uint256 toPayee,
        uint256 toPayer,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = _enter(terms, GRACE);
        if (_states[id].disputedAt == 0) revert EscrowErrorsLib.NoDispute();
        _requireSigned(
            terms.arbiter, _division(RESOLUTION_TYPEHASH, id, toPayee, toPayer), signature
        );

        emit Resolved(id, terms.order, toPayee, toPayer);

        _divide(terms, id, toPayee, toPayer, bytes32(0), true);
    }

    /// @inheritdoc IEscrow
    function expire(Terms calldata terms) external nonReentrant {
        bytes32 id = _enter(terms, GRACE + NOTICE);
        if (block.timestamp < terms.expiry) revert EscrowErrorsLib.TooEarly(terms.expiry);
        _requireNoDispute(id);

        uint256 amount = _left(terms, id);
        if (terms.paysAtExpiry) _divide(terms, id, amount, 0, bytes32(0), true);
        else _divide(terms, id, 0, amount, bytes32(0), true);
    }

    /// @inheritdoc IEscrow
    function sweep(Terms calldata terms) external nonReentrant {
        bytes32 id = _validId(terms);
        _requireOperatorUntil(terms, GRACE);
        State storage s = _states[id];
        if (!s.ended) revert EscrowErrorsLib.NotEnded(id);
        // What may have to be recorded as owed has 128 bits; a second call takes the rest.
        uint256 amount = Math.min(_unreserved(terms, id), type(uint128).max - s.reserved);
        if (amount == 0) revert EscrowErrorsLib.NothingToPay();

        emit Swept(id, terms.order, amount);

        _pay(terms, id, _open(terms, id), terms.payer, amount);
    }

    /// @inheritdoc IEscrow
    function returnOther(Terms calldata terms, address asset) external nonReentrant {
        bytes32 id = _validId(terms);
        _requireOperatorUntil(terms, GRACE);
        if (asset == terms.asset) revert EscrowErrorsLib.NotAnotherAsset(asset);
        address purse = _purseOf(id);
        uint256 amount = _held(asset, purse);
        if (amount == 0) revert EscrowErrorsLib.NothingToPay();
        uint256 held = _held(terms.asset, purse);

        emit Returned(id, terms.order, asset, amount);

        _open(terms, id).pay(asset, terms.payer, amount);
        if (_held(terms.asset, purse) < held) revert EscrowErrorsLib.NotAnotherAsset(asset);
    }

    /// @inheritdoc IEscrow
    function claim(Terms calldata terms, address party, address to, uint256 amount)
        external
        nonReentrant
    {
        bytes32 id = _validId(terms);
        if (msg.sender != party && to != party) revert EscrowErrorsLib.NotParty(msg.sender);
        if (_isAstray(terms.asset, to)) revert EscrowErrorsLib.InvalidRecipient(to);
        if (amount == 0) revert EscrowErrorsLib.NothingToPay();
        uint256 due = owed[id][party];
        if (amount > due) revert EscrowErrorsLib.TooMuch(amount, due);

        owed[id][party] = due - amount;
        _states[id].reserved -= uint128(amount);

        emit Claimed(id, terms.order, party, to, amount);

        Purse(payable(_purseOf(id))).pay(terms.asset, to, amount);
    }

    /* INTERNAL: CONDITIONS */

    /// @dev What every call has to pass that releases or refunds something.
    function _enter(Terms calldata terms, uint256 patience) internal view returns (bytes32 id) {
        id = _validId(terms);
        _requireOperatorUntil(terms, patience);
        if (_states[id].ended) revert EscrowErrorsLib.AlreadyEnded(id);
    }

    function _validId(Terms calldata terms) internal view returns (bytes32) {
        if (_isAstray(terms.asset, terms.payer) || _isAstray(terms.asset, terms.payee)) {
            revert EscrowErrorsLib.InvalidTerms();
        }
        return idOf(terms);
    }

    /// @dev Whether funds paid to `to` would surely be lost.
    function _isAstray(address asset, address to) internal view returns (bool) {
        return to == address(0) || to == address(this) || to == asset;
    }

    function _requireOperatorUntil(Terms calldata terms, uint256 patience) internal view {
        uint256 until = terms.expiry + patience;
        if (msg.sender != terms.operator && block.timestamp < until) {
            revert EscrowErrorsLib.OperatorOnly(until);
        }
    }

    function _requireNoDispute(bytes32 id) internal view {
        uint256 disputedAt = _states[id].disputedAt;
        if (disputedAt != 0 && block.timestamp < disputedAt + RESOLVE_TIME) {
            revert EscrowErrorsLib.DisputeOpen(disputedAt + RESOLVE_TIME);
        }
    }

    function _requireSigned(address signer, bytes32 message, bytes calldata signature)
        internal
        view
    {
        bytes32 digest = _hashTypedDataV4(message);
        if (!SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature)) {
            revert EscrowErrorsLib.InvalidSignature(signer);
        }
    }

    /// @dev What was paid before makes a signed division good for once.
    function _division(bytes32 typeHash, bytes32 id, uint256 toPayee, uint256 toPayer)
        internal
        view
        returns (bytes32)
    {
        uint256 paidBefore = uint256(_states[id].released) + _states[id].refunded;
        return keccak256(abi.encode(typeHash, id, toPayee, toPayer, paidBefore));
    }

    /* INTERNAL: AMOUNTS */

    function _left(Terms calldata terms, bytes32 id) internal view returns (uint256) {
        State storage s = _states[id];
        if (s.ended) return 0;
        return Math.min(_capped(terms.amount) - s.released - s.refunded, _unreserved(terms, id));
    }

    /// @dev Terms about more than can be counted are about what can be: the rest is surplus, not locked.
    function _capped(uint256 amount) internal pure returns (uint256) {
        return Math.min(amount, type(uint128).max);
    }

    function _unreserved(Terms calldata terms, bytes32 id) internal view returns (uint256) {
        return Math.saturatingSub(_held(terms.asset, _purseOf(id)), _states[id].reserved);
    }

    function _held(address asset, address purse) internal view returns (uint256) {
        return asset == NATIVE ? purse.balance : IERC20(asset).balanceOf(purse);
    }

    /* INTERNAL: PAYMENTS */

    /// @dev Books what becomes whose, and then pays it.
    function _divide(
        Terms calldata terms,
        bytes32 id,
        uint256 toPayee,
        uint256 toPayer,
        bytes32 evidence,
        bool last
    ) internal {
        State storage s = _states[id];
        uint256 available = _left(terms, id);
        if (toPayee > available || toPayer > available - toPayee) {
            revert EscrowErrorsLib.TooMuch(Math.saturatingAdd(toPayee, toPayer), available);
        }
        uint256 released = s.released + toPayee;
        uint256 refunded = s.refunded + toPayer;

        // Neither exceeds the amount, capped at 128 bits.
        s.released = uint128(released);
        s.refunded = uint128(refunded);
        if (last || released + refunded == _capped(terms.amount)) {
            s.ended = true;
            last = true;
        }

        if (toPayee != 0) emit Released(id, terms.order, toPayee, released, evidence);
        if (toPayer != 0) emit Refunded(id, terms.order, toPayer);
        if (last) emit Ended(id, terms.order, released, refunded);

        if (toPayee == 0 && toPayer == 0) return;
        Purse purse = _open(terms, id);
        _pay(terms, id, purse, terms.payee, toPayee);
        _pay(terms, id, purse, terms.payer, toPayer);
    }

    /// @dev Before the gate ends a payment that fails reverts, and the operator looks for another way.
    /// Afterwards nobody may be able to hold up the other party or itself: it is recorded as owed.
    function _pay(Terms calldata terms, bytes32 id, Purse purse, address to, uint256 amount)
        internal
    {
        if (amount == 0) return;
        if (block.timestamp < terms.expiry + GRACE) {
            purse.pay(terms.asset, to, amount);
            return;
        }
        // A call forwards at most 63/64 of the gas left (EIP-150), silently.
        if (gasleft() < PAY_GAS_CAP + PAY_GAS_CAP / 63 + PAY_GAS_RESERVE) {
            revert EscrowErrorsLib.InsufficientGas();
        }
        try purse.pay{gas: PAY_GAS_CAP}(terms.asset, to, amount) {}
        catch {
            owed[id][to] += amount;
            _states[id].reserved += uint128(amount);
            emit Owed(id, terms.order, to, amount);
        }
    }

    function _open(Terms calldata terms, bytes32 id) internal returns (Purse purse) {
        purse = Purse(payable(_purseOf(id)));
        if (address(purse).code.length != 0) return purse;

        emit Opened(id, terms.order, address(purse));

        return Purse(payable(Clones.cloneDeterministic(PURSE, id)));
    }

    function _purseOf(bytes32 id) internal view returns (address) {
        return Clones.predictDeterministicAddress(PURSE, id);
    }
}
