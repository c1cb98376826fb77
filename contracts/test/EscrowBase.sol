// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {Base, Vm} from "./Base.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice What parties sign, written down a second time: from the standard, not from the contract.
library Messages {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function release(address escrow, bytes32 id, uint256 total, bytes32 evidence)
        internal
        view
        returns (bytes32)
    {
        bytes32 typeHash = keccak256("Release(bytes32 id,uint256 total,bytes32 evidence)");
        return digest(escrow, block.chainid, keccak256(abi.encode(typeHash, id, total, evidence)));
    }

    function dispute(address escrow, bytes32 id, bytes32 reason) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("Dispute(bytes32 id,bytes32 reason)");
        return digest(escrow, block.chainid, keccak256(abi.encode(typeHash, id, reason)));
    }

    /// @param kind "Settlement" or "Resolution".
    function division(
        string memory kind,
        address escrow,
        bytes32 id,
        uint256 toPayee,
        uint256 toPayer,
        uint256 paidBefore
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            abi.encodePacked(
                kind, "(bytes32 id,uint256 toPayee,uint256 toPayer,uint256 paidBefore)"
            )
        );
        return digest(
            escrow,
            block.chainid,
            keccak256(abi.encode(typeHash, id, toPayee, toPayer, paidBefore))
        );
    }

    function digest(address escrow, uint256 chainId, bytes32 structHash)
        internal
        pure
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Tidegate Escrow"),
                keccak256("1"),
                chainId,
                escrow
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function signed(uint256 key, bytes32 digest_) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest_);
        return abi.encodePacked(r, s, v);
    }
}

/// @notice An escrow with its people, and their signatures.
abstract contract EscrowBase is Base {
    uint256 internal constant PAYER_KEY = 0xa1;
    uint256 internal constant PAYEE_KEY = 0xa2;
    uint256 internal constant ARBITER_KEY = 0xa3;
    uint256 internal constant ORACLE_KEY = 0xa4;
    uint256 internal constant THIEF_KEY = 0xa5;
    address internal constant OPERATOR = address(0x09e7a7);
    address internal constant STRANGER = address(0x57a4);
    address internal immutable PAYER = vm.addr(PAYER_KEY);
    address internal immutable PAYEE = vm.addr(PAYEE_KEY);
    bytes32 internal constant EVIDENCE = keccak256("scanned at the door");
    bytes32 internal constant REASON = keccak256("nothing came");
    /// @dev The most that a transaction may have (EIP-7825).
    uint256 internal constant GAS = 1 << 24;
    uint64 internal constant EXPIRY = uint64(START + 20 days);

    IEscrow internal escrow;

    function setUp() public virtual override {
        super.setUp();
        escrow = _newEscrow();
    }

    function _newEscrow() internal returns (IEscrow) {
        return IEscrow(_deploy("Escrow", ""));
    }

    /* TERMS */

    function _terms() internal view returns (IEscrow.Terms memory) {
        return IEscrow.Terms({
            order: keccak256("order"),
            asset: address(token),
            amount: 100,
            payer: PAYER,
            payee: PAYEE,
            arbiter: vm.addr(ARBITER_KEY),
            oracle: vm.addr(ORACLE_KEY),
            operator: OPERATOR,
            expiry: EXPIRY,
            paysAtExpiry: false
        });
    }

    function _nativeTerms() internal view returns (IEscrow.Terms memory terms) {
        terms = _terms();
        terms.asset = NATIVE;
    }

    function _funded() internal returns (IEscrow.Terms memory terms) {
        terms = _terms();
        _fund(terms, 100);
    }

    function _fund(IEscrow.Terms memory terms, uint256 amount) internal {
        address purse = escrow.purseOf(terms);
        if (terms.asset == NATIVE) vm.deal(purse, purse.balance + amount);
        else OddToken(terms.asset).mint(purse, amount);
    }

    function _held(IEscrow.Terms memory terms) internal view returns (uint256) {
        return _balance(terms.asset, escrow.purseOf(terms));
    }

    function _balance(address asset, address account) internal view returns (uint256) {
        return asset == NATIVE ? account.balance : OddToken(asset).balanceOf(account);
    }

    function _afterTheGate() internal {
        vm.warp(EXPIRY + escrow.GRACE());
    }

    function _afterTheNotice() internal {
        vm.warp(EXPIRY + escrow.GRACE() + escrow.NOTICE());
    }

    /* CALLS, AS THEIR DATA */

    function _release(IEscrow.Terms memory terms, uint256 total)
        internal
        view
        returns (bytes memory)
    {
        return _release(terms, total, ORACLE_KEY);
    }

    function _release(IEscrow.Terms memory terms, uint256 total, uint256 key)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest =
            Messages.release(address(escrow), escrow.idOf(terms), total, EVIDENCE);
        return abi.encodeCall(
            IEscrow.release, (terms, total, EVIDENCE, Messages.signed(key, digest))
        );
    }

    function _settle(IEscrow.Terms memory terms, uint256 toPayee, uint256 toPayer)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = _division("Settlement", terms, toPayee, toPayer);
        return abi.encodeCall(
            IEscrow.settle,
            (
                terms,
                toPayee,
                toPayer,
                Messages.signed(PAYER_KEY, digest),
                Messages.signed(PAYEE_KEY, digest)
            )
        );
    }

    function _dispute(IEscrow.Terms memory terms, address by, uint256 key)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = Messages.dispute(address(escrow), escrow.idOf(terms), REASON);
        return abi.encodeCall(
            IEscrow.dispute, (terms, by, REASON, Messages.signed(key, digest))
        );
    }

    function _resolve(IEscrow.Terms memory terms, uint256 toPayee, uint256 toPayer)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = _division("Resolution", terms, toPayee, toPayer);
        return abi.encodeCall(
            IEscrow.resolve, (terms, toPayee, toPayer, Messages.signed(ARBITER_KEY, digest))
        );
    }

    function _division(
        string memory kind,
        IEscrow.Terms memory terms,
        uint256 toPayee,
        uint256 toPayer
    ) internal view returns (bytes32) {
        bytes32 id = escrow.idOf(terms);
        (uint128 released, uint128 refunded,,) = escrow.state(id);
        return Messages.division(
            kind, address(escrow), id, toPayee, toPayer, uint256(released) + refunded
        );
    }

    function _expire(IEscrow.Terms memory terms) internal pure returns (bytes memory) {
        return abi.encodeCall(IEscrow.expire, (terms));
    }

    function _sweep(IEscrow.Terms memory terms) internal pure returns (bytes memory) {
        return abi.encodeCall(IEscrow.sweep, (terms));
    }

    function _claim(IEscrow.Terms memory terms, address party, address to, uint256 amount)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IEscrow.claim, (terms, party, to, amount));
    }

    /* DOING IT */

    function _does(address who, bytes memory call_) internal {
        vm.prank(who);
        (bool done, bytes memory answer) = address(escrow).call{gas: GAS}(call_);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function _tries(address who, bytes memory call_) internal returns (bool done) {
        vm.prank(who);
        (done,) = address(escrow).call{gas: GAS}(call_);
    }

    function _refuses(address who, bytes memory call_, bytes memory refusal) internal {
        vm.prank(who);
        (bool done, bytes memory answer) = address(escrow).call{gas: GAS}(call_);
        _check(!done, "refused");
        _check(keccak256(answer) == keccak256(refusal), "for that reason");
    }

    function _refuses(address who, bytes memory call_, bytes4 refusal) internal {
        _refuses(who, call_, abi.encodeWithSelector(refusal));
    }

    function _checkState(
        IEscrow.Terms memory terms,
        uint256 released,
        uint256 refunded,
        bool ended
    ) internal view {
        (uint128 released_, uint128 refunded_,, bool ended_) = escrow.state(escrow.idOf(terms));
        _check(released_ == released && refunded_ == refunded, "released and refunded");
        _check(ended_ == ended, "ended");
    }

    function _checkPaid(IEscrow.Terms memory terms, uint256 toPayee, uint256 toPayer)
        internal
        view
    {
        _check(_balance(terms.asset, terms.payee) == toPayee, "paid to the payee");
        _check(_balance(terms.asset, terms.payer) == toPayer, "paid to the payer");
    }

    /* REFUSALS, AS THEIR DATA */

    function _error(bytes4 selector, uint256 value) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, value);
    }

    function _unsigned(address signer) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(EscrowErrorsLib.InvalidSignature.selector, signer);
    }

    function _tooMuch(uint256 asked, uint256 left) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(EscrowErrorsLib.TooMuch.selector, asked, left);
    }

    function _ended(IEscrow.Terms memory terms) internal view returns (bytes memory) {
        return abi.encodeWithSelector(EscrowErrorsLib.AlreadyEnded.selector, escrow.idOf(terms));
    }

    function _notEnded(IEscrow.Terms memory terms) internal view returns (bytes memory) {
        return abi.encodeWithSelector(EscrowErrorsLib.NotEnded.selector, escrow.idOf(terms));
    }

    function _open(uint256 disputedAt) internal view returns (bytes memory) {
        return _error(
            EscrowErrorsLib.DisputeOpen.selector, disputedAt + escrow.RESOLVE_TIME()
        );
    }
}
