// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {Vm} from "./Base.sol";
import {EscrowBase, Messages} from "./EscrowBase.sol";
import {SmartWallet} from "./OddParties.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice Everybody who ever touches an escrow, in any order: payers, payees, arbiter, oracle, operator,
/// thieves, wallets and a token of changing moods, and time. It keeps its own books from what it sees.
contract EscrowHandler {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 public constant ESCROWS = 6;
    uint256 internal constant KEY = 0xe5c0;
    uint256 internal constant THIEF_KEY = 0x7e1f;
    uint256 internal constant GAS = 2_000_000;
    address public constant OPERATOR = address(0x09e7a7);
    address public constant STRANGER = address(0x57a4);
    address public constant COLLECTOR = address(0xc011ec7);

    struct Books {
        uint256 funded;
        uint256 toPayee;
        uint256 toPayer;
        uint256 attested;
        uint256 released;
    }

    struct Seen {
        uint256 held;
        uint256 owedToPayee;
        uint256 owedToPayer;
        uint256 payee;
        uint256 payer;
        bool open;
        bool gated;
    }

    IEscrow public immutable escrow;
    OddToken public immutable token;
    IEscrow.Terms[] internal _terms;
    mapping(uint256 e => Books) public books;
    /// @dev Everything that was ever sent, so that a thief can send it again.
    bytes[] internal sent;
    mapping(bytes32 callHash => bool) internal succeeded;
    string public broken;

    constructor(IEscrow escrow_, OddToken token_) {
        escrow = escrow_;
        token = token_;
        for (uint256 e; e < ESCROWS; ++e) {
            _terms.push(
                IEscrow.Terms({
                    order: bytes32(e / 2), // some share everything but an asset or a party
                    asset: e % 2 == 0 ? address(token_) : address(0),
                    amount: 1_000,
                    payer: address(new SmartWallet(vm.addr(KEY))),
                    payee: address(new SmartWallet(vm.addr(KEY))),
                    arbiter: vm.addr(KEY),
                    oracle: vm.addr(KEY),
                    operator: OPERATOR,
                    expiry: uint64(vm.getBlockTimestamp() + 20 days * (1 + e / 2)),
                    paysAtExpiry: e % 3 == 0
                })
            );
        }
    }

    function termsOf(uint256 e) external view returns (IEscrow.Terms memory) {
        return _terms[e];
    }

    function held(uint256 e) public view returns (uint256) {
        return _balance(_terms[e].asset, escrow.purseOf(_terms[e]));
    }

    /* ACTIONS */

    function fund(uint8 e, uint16 amount) external {
        e %= uint8(ESCROWS);
        // Mostly what was agreed, sometimes less or more.
        uint256 value = amount % 3 == 0 ? amount % 1_500 : 1_000;
        address purse = escrow.purseOf(_terms[e]);
        if (_terms[e].asset == address(0)) vm.deal(purse, purse.balance + value);
        else token.mint(purse, value);
        books[e].funded += value;
    }

    function wait(uint32 seconds_) external {
        vm.warp(vm.getBlockTimestamp() + seconds_ % 12 days);
    }

    function changeMood(uint8 e, bool ofPayee, uint8 mood) external {
        IEscrow.Terms memory terms = _terms[e % ESCROWS];
        address party = ofPayee ? terms.payee : terms.payer;
        if (terms.asset == address(0)) {
            SmartWallet wallet = SmartWallet(payable(party));
            wallet.setMood(SmartWallet.Mood(mood % 6));
            if (sent.length != 0) {
                wallet.setReentrantCall(address(escrow), sent[mood % sent.length]);
            }
            return;
        }
        OddToken.Mood[9] memory moods = [
            OddToken.Mood.ReturnsTrue,
            OddToken.Mood.ReturnsNothing,
            OddToken.Mood.ReturnsFalse,
            OddToken.Mood.Reverts,
            OddToken.Mood.BurnsAllGas,
            OddToken.Mood.MovesAndReturnsFalse,
            OddToken.Mood.Reenters,
            OddToken.Mood.LiesThatItMoved,
            OddToken.Mood.SendsBack
        ];
        token.setMood(party, moods[mood % 9]);
        if (sent.length != 0) token.setReentrantCall(sent[mood % sent.length]);
    }

    function release(uint8 e, uint16 total, uint8 who, bool forged) external {
        e %= uint8(ESCROWS);
        total %= 1_100;
        bytes32 digest = Messages.release(
            address(escrow), escrow.idOf(_terms[e]), total, bytes32(0)
        );
        bytes memory call_ = abi.encodeCall(
            IEscrow.release, (_terms[e], total, bytes32(0), _signed(forged, digest))
        );
        if (!forged && total > books[e].attested) books[e].attested = total;
        uint256 before = books[e].toPayee + _owed(e, true);
        if (!_send(e, who, call_, false, forged)) return;
        books[e].released += books[e].toPayee + _owed(e, true) - before;
        if (books[e].released > books[e].attested) broken = "more released than attested";
    }

    function settle(uint8 e, uint16 toPayee, uint16 toPayer, uint8 who, uint8 forged) external {
        e %= uint8(ESCROWS);
        (toPayee, toPayer) = (toPayee % 600, toPayer % 600);
        bytes32 digest = _division("Settlement", e, toPayee, toPayer);
        // One of both, or one in the other's name.
        bool payerForged = forged % 4 == 1;
        bool payeeForged = forged % 4 == 2;
        bytes memory call_ = abi.encodeCall(
            IEscrow.settle,
            (
                _terms[e],
                toPayee,
                toPayer,
                _signed(payerForged, digest),
                _signed(payeeForged, digest)
            )
        );
        _send(e, who, call_, true, payerForged || payeeForged);
    }

    function dispute(uint8 e, bool byPayee, bool forged) external {
        e %= uint8(ESCROWS);
        bytes32 digest = Messages.dispute(address(escrow), escrow.idOf(_terms[e]), bytes32(0));
        bytes memory call_ = abi.encodeCall(
            IEscrow.dispute,
            (
                _terms[e],
                byPayee ? _terms[e].payee : _terms[e].payer,
                bytes32(0),
                _signed(forged, digest)
            )
        );
        _send(e, 1, call_, false, forged);
    }

    function resolve(uint8 e, uint16 toPayee, uint16 toPayer, uint8 who, bool forged) external {
        e %= uint8(ESCROWS);
        (toPayee, toPayer) = (toPayee % 600, toPayer % 600);
        bytes32 digest = _division("Resolution", e, toPayee, toPayer);
        bytes memory call_ = abi.encodeCall(
            IEscrow.resolve, (_terms[e], toPayee, toPayer, _signed(forged, digest))
        );
        _send(e, who, call_, true, forged);
    }

    function expire(uint8 e, uint8 who) external {
        e %= uint8(ESCROWS);
        _send(e, who, abi.encodeCall(IEscrow.expire, (_terms[e])), false, false);
    }

    function sweep(uint8 e, uint8 who) external {
        e %= uint8(ESCROWS);
        _send(e, who, abi.encodeCall(IEscrow.sweep, (_terms[e])), false, false);
    }

    function claim(uint8 e, bool ofPayee, bool elsewhere, uint16 amount) external {
        e %= uint8(ESCROWS);
        address party = ofPayee ? _terms[e].payee : _terms[e].payer;
        uint256 due = escrow.owed(escrow.idOf(_terms[e]), party);
        amount = uint16(amount % (due + 2));
        bytes memory call_ = abi.encodeCall(
            IEscrow.claim, (_terms[e], party, elsewhere ? COLLECTOR : party, amount)
        );
        uint256 before = _balance(_terms[e].asset, COLLECTOR);
        _claim(e, elsewhere ? party : STRANGER, call_);
        uint256 collected = _balance(_terms[e].asset, COLLECTOR) - before;
        if (ofPayee) books[e].toPayee += collected;
        else books[e].toPayer += collected;
    }

    /// @dev A thief asks for what others are owed, or sends again what others have sent.
    function steal(uint8 e, bool ofPayee, uint16 amount) external {
        e %= uint8(ESCROWS);
        address party = ofPayee ? _terms[e].payee : _terms[e].payer;
        bytes memory call_ =
            abi.encodeCall(IEscrow.claim, (_terms[e], party, STRANGER, amount));
        if (_claim(e, STRANGER, call_)) broken = "a thief claimed";
    }

    function repeat(uint256 seed, bool asOperator) external {
        if (sent.length == 0) return;
        bytes memory call_ = sent[seed % sent.length];
        bool before = succeeded[keccak256(call_)];
        bool maySettle = bytes4(call_) == IEscrow.settle.selector
            || bytes4(call_) == IEscrow.resolve.selector;
        uint256 e = _escrowOf(call_);
        uint256 had = books[e].toPayee + _owed(e, true);
        bool done = _send(e, asOperator ? 0 : 1, call_, maySettle, false);
        if (bytes4(call_) == IEscrow.release.selector) {
            books[e].released += books[e].toPayee + _owed(e, true) - had;
        }
        // An attestation may pay what came later, and a surplus may come again.
        bool mayRepeat = bytes4(call_) == IEscrow.release.selector
            || bytes4(call_) == IEscrow.sweep.selector;
        if (done && before && !mayRepeat) broken = "a signature was good twice";
    }

    /* WATCHED */

    /// @dev Sends the call and looks at everything that it may not have done.
    function _send(uint256 e, uint256 who, bytes memory call_, bool maySettle, bool forged)
        internal
        returns (bool done)
    {
        address sender = who % 3 == 0 ? STRANGER : OPERATOR;
        if (!forged) sent.push(call_);
        Seen memory seen = _look(e);

        vm.prank(sender);
        (done,) = address(escrow).call{gas: GAS}(call_);

        if (done) succeeded[keccak256(call_)] = true;
        if (done && forged) broken = "a forged signature was good";
        if (!_book(e, seen)) return done;
        if (sender != OPERATOR && seen.gated) broken = "a stranger moved funds within the gate";
        if (seen.open && !maySettle) broken = "something moved in an open dispute";
    }

    function _claim(uint256 e, address sender, bytes memory call_) internal returns (bool done) {
        Seen memory seen = _look(e);
        vm.prank(sender);
        (done,) = address(escrow).call{gas: GAS}(call_);
        _book(e, seen);
    }

    function _look(uint256 e) internal view returns (Seen memory) {
        (,, uint256 disputedAt, bool ended) = escrow.state(escrow.idOf(_terms[e]));
        uint256 time = vm.getBlockTimestamp();
        return Seen({
            held: held(e),
            owedToPayee: _owed(e, true),
            owedToPayer: _owed(e, false),
            payee: _balance(_terms[e].asset, _terms[e].payee),
            payer: _balance(_terms[e].asset, _terms[e].payer),
            open: disputedAt != 0 && time < disputedAt + 30 days && !ended,
            gated: time < _terms[e].expiry + 30 days
        });
    }

    /// @dev What the parties have had since, and whether anything has moved.
    function _book(uint256 e, Seen memory before) internal returns (bool moved) {
        Seen memory seen = _look(e);
        books[e].toPayee += seen.payee - before.payee;
        books[e].toPayer += seen.payer - before.payer;
        return seen.held != before.held || seen.owedToPayee != before.owedToPayee
            || seen.owedToPayer != before.owedToPayer;
    }

    /* HELPERS */

    function _owed(uint256 e, bool ofPayee) internal view returns (uint256) {
        return escrow.owed(
            escrow.idOf(_terms[e]), ofPayee ? _terms[e].payee : _terms[e].payer
        );
    }

    function _balance(address asset, address account) internal view returns (uint256) {
        return asset == address(0) ? account.balance : token.balanceOf(account);
    }

    function _signed(bool forged, bytes32 digest) internal pure returns (bytes memory) {
        return Messages.signed(forged ? THIEF_KEY : KEY, digest);
    }

    function _division(string memory kind, uint256 e, uint256 toPayee, uint256 toPayer)
        internal
        view
        returns (bytes32)
    {
        bytes32 id = escrow.idOf(_terms[e]);
        (uint128 released, uint128 refunded,,) = escrow.state(id);
        return Messages.division(
            kind, address(escrow), id, toPayee, toPayer, uint256(released) + refunded
        );
    }

    /// @dev Which escrow a call was about: the payer's address, the fourth word, tells.
    function _escrowOf(bytes memory call_) internal view returns (uint256 e) {
        address payer;
        assembly ("memory-safe") {
            payer := mload(add(call_, 132))
        }
        while (_terms[e].payer != payer) ++e;
    }
}

/// @notice What no order of actions may break.
contract EscrowInvariantsTest is EscrowBase {
    EscrowHandler internal handler;

    function setUp() public override {
        vm.warp(START);
        token = new OddToken();
        escrow = _newEscrow();
        handler = new EscrowHandler(escrow, token);
    }

    /// @dev forge asks for these by name.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariantNoUnitIsCreatedOrLostOrGoesToAnybodyElse() public view {
        _check(bytes(handler.broken()).length == 0, handler.broken());
        for (uint256 e; e < handler.ESCROWS(); ++e) {
            (uint256 funded, uint256 toPayee, uint256 toPayer,,) = handler.books(e);
            _check(handler.held(e) + toPayee + toPayer == funded, "purse, payee, payer: all");
            IEscrow.Terms memory terms = handler.termsOf(e);
            bytes32 id = escrow.idOf(terms);
            uint256 owedToPayee = escrow.owed(id, terms.payee);
            uint256 owed = owedToPayee + escrow.owed(id, terms.payer);
            _check(handler.held(e) >= owed, "what is owed is there");
            (uint128 released, uint128 refunded,, bool ended) = escrow.state(id);
            _check(toPayee + owedToPayee == released, "what the payee has or is owed");
            _check(released + refunded <= terms.amount, "no more than was agreed");
            _check(ended || toPayer + owed - owedToPayee == refunded, "the payer's");
        }
        _check(handler.STRANGER().balance == 0 && token.balanceOf(handler.STRANGER()) == 0, "0");
        _check(address(escrow).balance == 0 && token.balanceOf(address(escrow)) == 0, "none here");
    }

    /// @notice After the bound a stranger empties every purse, but for what is owed to parties that
    /// cannot be paid; and they take that elsewhere.
    function afterInvariant() public {
        vm.warp(vm.getBlockTimestamp() + 120 days);
        address stranger = handler.STRANGER();
        for (uint256 e; e < handler.ESCROWS(); ++e) {
            IEscrow.Terms memory terms = handler.termsOf(e);
            bytes32 id = escrow.idOf(terms);
            (,,, bool ended) = escrow.state(id);
            if (!ended) {
                vm.prank(stranger);
                escrow.expire(terms);
            }
            uint256 owed = escrow.owed(id, terms.payee) + escrow.owed(id, terms.payer);
            if (handler.held(e) > owed) {
                vm.prank(stranger);
                escrow.sweep(terms);
            }
            _collect(terms, id, terms.payee);
            _collect(terms, id, terms.payer);
            _check(handler.held(e) == 0, "every purse can be emptied");
            (,,, ended) = escrow.state(id);
            _check(ended, "every escrow ends");
        }
    }

    function _collect(IEscrow.Terms memory terms, bytes32 id, address party) internal {
        uint256 owed = escrow.owed(id, party);
        if (owed == 0) return;
        address elsewhere = handler.COLLECTOR();
        vm.prank(party);
        escrow.claim(terms, party, elsewhere, owed);
    }
}
