// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {EscrowBase, Messages} from "./EscrowBase.sol";
import {SmartWallet} from "./OddParties.sol";

/// @notice What moves funds, where to, and what is written down about it.
contract EscrowTest is EscrowBase {
    /* PURSES */

    /// @dev Whoever does not trust a node computes where the money goes.
    function testPutsPursesWhereTheyWereForetold(bytes32 order, uint64 expiry, bool paysAtExpiry)
        public
        view
    {
        IEscrow.Terms memory terms = _terms();
        (terms.order, terms.expiry, terms.paysAtExpiry) = (order, expiry, paysAtExpiry);
        bytes32 id = keccak256(abi.encode(block.chainid, address(escrow), terms));
        // CREATE with the nonce 1; RLP of a list of 22 bytes, an address, and 1.
        address shared = address(
            uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(escrow), hex"01"))))
        );
        bytes32 code = keccak256(
            abi.encodePacked(
                hex"3d602d80600a3d3981f3363d3d373d3d3d363d73",
                shared,
                hex"5af43d82803e903d91602b57fd5bf3"
            )
        );
        bytes32 purse = keccak256(abi.encodePacked(hex"ff", address(escrow), id, code));
        _check(escrow.idOf(terms) == id, "the id");
        _check(escrow.PURSE() == shared, "the shared code");
        _check(escrow.purseOf(terms) == address(uint160(uint256(purse))), "the purse");
    }

    function testLetsTheVaultFundPursesLikeAnyRecipient() public {
        IEscrow.Terms memory terms = _terms();
        IEscrow.Terms memory native = _nativeTerms();
        vm.deal(address(vault), 100);
        _pay(1, address(token), _rows(escrow.purseOf(terms), 100, ALICE, 1));
        _pay(2, NATIVE, _row(escrow.purseOf(native), 100));
        _check(vault.skippedRows(1, 0) == 0 && vault.skippedRows(2, 0) == 0, "both were paid");
        _check(escrow.left(terms) == 100 && escrow.left(native) == 100, "and found");
        _does(OPERATOR, _release(terms, 100));
        _does(OPERATOR, _release(native, 60));
        vm.deal(address(vault), 100);
        _pay(3, NATIVE, _row(escrow.purseOf(native), 100));
        _check(vault.skippedRows(3, 0) == 0 && _held(native) == 140, "a purse with code, too");
    }

    function testOpensAPurseOnce() public {
        IEscrow.Terms memory terms = _funded();
        address purse = escrow.purseOf(terms);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Opened(escrow.idOf(terms), terms.order, purse);
        _does(OPERATOR, _release(terms, 1));
        _check(purse.code.length == 45, "a minimal proxy");
        vm.recordLogs();
        _does(OPERATOR, _release(terms, 2));
        _check(vm.getRecordedLogs().length == 1, "Released, and nothing else");
    }

    /* RELEASES */

    function testReleasesInPartsUpToWhatTheOracleAttested() public {
        _releasesInParts(_terms());
        _releasesInParts(_nativeTerms());
    }

    function _releasesInParts(IEscrow.Terms memory terms) internal {
        _fund(terms, 100);
        bytes32 id = escrow.idOf(terms);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Released(id, terms.order, 30, 30, EVIDENCE);
        _does(OPERATOR, _release(terms, 30));
        _checkPaid(terms, 30, 0);
        _checkState(terms, 30, 0, false);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Released(id, terms.order, 70, 100, EVIDENCE);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Ended(id, terms.order, 100, 0);
        _does(OPERATOR, _release(terms, 100));
        _checkPaid(terms, 100, 0);
        _checkState(terms, 100, 0, true);
    }

    function testReleasesWhatIsThereAndTheRestWhenItComes() public {
        IEscrow.Terms memory terms = _terms();
        _fund(terms, 40);
        bytes memory call_ = _release(terms, 90);
        _does(OPERATOR, call_);
        _checkPaid(terms, 40, 0);
        _checkState(terms, 40, 0, false);
        _fund(terms, 60);
        _does(OPERATOR, call_);
        _checkPaid(terms, 90, 0);
        _checkState(terms, 90, 0, false);
    }

    function testStillReleasesAfterTheExpiryUntilItExpires() public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(EXPIRY + 1);
        _does(OPERATOR, _release(terms, 60));
        _does(OPERATOR, _expire(terms));
        _checkPaid(terms, 60, 40);
    }

    function testNeverReleasesMoreThanWasAttested(uint256[6] memory totals, uint256 funding)
        public
    {
        IEscrow.Terms memory terms = _terms();
        funding %= 200;
        _fund(terms, funding);
        uint256 most;
        for (uint256 i; i < totals.length; ++i) {
            totals[i] %= 101;
            if (totals[i] > most) most = totals[i];
            _tries(OPERATOR, _release(terms, totals[i]));
            uint256 paid = token.balanceOf(PAYEE);
            _check(paid == (most < funding ? most : funding), "what was attested and is there");
        }
    }

    /* SETTLEMENTS */

    function testSettlesAsBothAgreed(uint256 toPayee, uint256 toPayer) public {
        IEscrow.Terms memory terms = _funded();
        toPayee %= 101;
        toPayer %= 101 - toPayee;
        vm.assume(toPayee + toPayer != 0);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Settled(escrow.idOf(terms), terms.order, toPayee, toPayer);
        _does(OPERATOR, _settle(terms, toPayee, toPayer));
        _checkPaid(terms, toPayee, toPayer);
        _checkState(terms, toPayee, toPayer, toPayee + toPayer == 100);
    }

    function testSettlesAgainAndCountsItTowardsWhatTheOracleAttests() public {
        IEscrow.Terms memory terms = _funded();
        _does(OPERATOR, _settle(terms, 20, 10));
        _does(OPERATOR, _settle(terms, 20, 10));
        _does(OPERATOR, _release(terms, 50));
        _checkPaid(terms, 50, 20);
        _does(OPERATOR, _release(terms, 100));
        _checkPaid(terms, 80, 20);
        _checkState(terms, 80, 20, true);
    }

    function testSettlesWhileADisputeIsOpenWhichStaysOpen() public {
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _does(OPERATOR, _settle(terms, 20, 10));
        _refuses(
            OPERATOR,
            _release(terms, 100),
            abi.encodeWithSelector(
                EscrowErrorsLib.DisputeOpen.selector, START + escrow.RESOLVE_TIME()
            )
        );
        _does(OPERATOR, _settle(terms, 30, 40));
        _checkState(terms, 50, 50, true);
    }

    /* DISPUTES */

    function testLetsEitherPartyDisputeInPersonOrBySignature() public {
        address[2] memory parties = [PAYER, PAYEE];
        uint256[2] memory keys = [PAYER_KEY, PAYEE_KEY];
        for (uint256 i; i < 2; ++i) {
            for (uint256 j; j < 2; ++j) {
                IEscrow.Terms memory terms = _terms();
                terms.order = keccak256(abi.encode(i, j));
                vm.expectEmit(true, true, true, true, address(escrow));
                emit IEscrow.Disputed(escrow.idOf(terms), terms.order, parties[i], REASON);
                if (j == 0) _does(STRANGER, _dispute(terms, parties[i], keys[i]));
                else {
                    vm.prank(parties[i]);
                    escrow.dispute(terms, parties[i], REASON, "");
                }
                (,, uint64 disputedAt,) = escrow.state(escrow.idOf(terms));
                _check(disputedAt == START, "when");
            }
        }
    }

    function testResolvesAsTheArbiterDecidedAndEnds(uint256 toPayee, uint256 toPayer) public {
        IEscrow.Terms memory terms = _funded();
        toPayee %= 101;
        toPayer %= 101 - toPayee;
        bytes32 id = escrow.idOf(terms);
        _does(PAYEE, _dispute(terms, PAYEE, PAYEE_KEY));
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Resolved(id, terms.order, toPayee, toPayer);
        if (toPayer != 0) {
            vm.expectEmit(true, true, true, true, address(escrow));
            emit IEscrow.Refunded(id, terms.order, toPayer);
        }
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Ended(id, terms.order, toPayee, toPayer);
        _does(OPERATOR, _resolve(terms, toPayee, toPayer));
        _checkPaid(terms, toPayee, toPayer);
        _checkState(terms, toPayee, toPayer, true);

        if (toPayee + toPayer == 100) return;
        _does(OPERATOR, _sweep(terms));
        _checkPaid(terms, toPayee, 100 - toPayee);
        _checkState(terms, toPayee, toPayer, true);
    }

    function testResolvesWhatAReleaseHasLeft() public {
        IEscrow.Terms memory terms = _funded();
        _does(OPERATOR, _release(terms, 30));
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _does(OPERATOR, _resolve(terms, 10, 60));
        _checkPaid(terms, 40, 60);
        _checkState(terms, 40, 60, true);
    }

    /* THE END */

    function testExpiresToWhomTheTermsSay(bool paysAtExpiry, uint256 released) public {
        IEscrow.Terms memory terms = _terms();
        terms.paysAtExpiry = paysAtExpiry;
        _fund(terms, 100);
        released %= 100;
        if (released != 0) _does(OPERATOR, _release(terms, released));
        vm.warp(EXPIRY);
        if (paysAtExpiry) {
            vm.expectEmit(true, true, true, true, address(escrow));
            emit IEscrow.Released(
                escrow.idOf(terms), terms.order, 100 - released, 100, bytes32(0)
            );
        }
        _does(OPERATOR, _expire(terms));
        if (paysAtExpiry) _checkPaid(terms, 100, 0);
        else _checkPaid(terms, released, 100 - released);
        _checkState(terms, paysAtExpiry ? 100 : released, paysAtExpiry ? 0 : 100 - released, true);
    }

    function testEndsWhatWasNeverFundedAndReturnsWhatComesLater() public {
        IEscrow.Terms memory terms = _terms();
        terms.paysAtExpiry = true;
        vm.warp(EXPIRY);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Ended(escrow.idOf(terms), terms.order, 0, 0);
        _does(OPERATOR, _expire(terms));
        _check(escrow.purseOf(terms).code.length == 0, "no purse for nothing");
        _fund(terms, 100);
        _does(OPERATOR, _sweep(terms));
        _checkPaid(terms, 0, 100);
    }

    function testGivesThePayerAnySurplus(uint256 surplus, bool native) public {
        IEscrow.Terms memory terms = native ? _nativeTerms() : _terms();
        surplus = surplus % 1e30 + 1;
        _fund(terms, 100 + surplus);
        _check(escrow.left(terms) == 100, "a surplus is not divided");
        _does(OPERATOR, _release(terms, 100));
        _checkPaid(terms, 100, 0);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Swept(escrow.idOf(terms), terms.order, surplus);
        _does(OPERATOR, _sweep(terms));
        _checkPaid(terms, 100, surplus);
        _checkState(terms, 100, 0, true);
        _fund(terms, 5);
        _does(OPERATOR, _sweep(terms));
        _checkPaid(terms, 100, surplus + 5);
    }

    /// @dev Else the party that a decision displeases would send a unit ahead of it, again and again.
    function testNoGiftVoidsWhatWasSigned(uint256 funding, uint256 gift) public {
        IEscrow.Terms memory terms = _terms();
        _fund(terms, 60 + funding % 60);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        bytes memory agreed = _settle(terms, 10, 10);
        _fund(terms, gift % 1e30);
        _does(OPERATOR, agreed);
        bytes memory decided = _resolve(terms, 30, 10);
        _fund(terms, gift % 1e30);
        _does(OPERATOR, decided);
        _checkPaid(terms, 40, 20);
        _checkState(terms, 40, 20, true);
    }

    /// @dev Funds beyond what can be counted are surplus, and not locked.
    function testEmptiesPursesOfAnyAmount(uint256 amount, uint256 funding) public {
        IEscrow.Terms memory terms = _terms();
        terms.amount = amount;
        terms.paysAtExpiry = true;
        _fund(terms, funding);
        vm.warp(EXPIRY);
        _does(OPERATOR, _expire(terms));
        uint256 due = amount < type(uint128).max ? amount : type(uint128).max;
        _check(token.balanceOf(PAYEE) == (due < funding ? due : funding), "the payee's");
        for (uint256 held = _held(terms); held != 0; held = _held(terms)) {
            if (funding > type(uint136).max) return; // as many sweeps as 128 bits go into it
            _does(OPERATOR, _sweep(terms));
        }
        _check(token.balanceOf(PAYEE) + token.balanceOf(PAYER) == funding, "all of it");
    }

    function testKeepsEscrowsApart() public {
        IEscrow.Terms memory terms = _funded();
        IEscrow.Terms memory other = _terms();
        other.order = keccak256("another");
        _fund(other, 100);
        _does(OPERATOR, _release(terms, 100));
        _checkState(other, 0, 0, false);
        _check(_held(other) == 100, "untouched");
    }

    /* WALLETS WITH CODE */

    function testHearsWalletsWithCode() public {
        IEscrow.Terms memory terms = _terms();
        terms.payer = address(new SmartWallet(PAYER));
        terms.payee = address(new SmartWallet(PAYEE));
        terms.arbiter = address(new SmartWallet(vm.addr(ARBITER_KEY)));
        terms.oracle = address(new SmartWallet(vm.addr(ORACLE_KEY)));
        _fund(terms, 100);
        _refuses(
            OPERATOR,
            _release(terms, 10, THIEF_KEY),
            abi.encodeWithSelector(EscrowErrorsLib.InvalidSignature.selector, terms.oracle)
        );
        _does(OPERATOR, _release(terms, 10));
        _does(STRANGER, _dispute(terms, terms.payer, PAYER_KEY));
        _does(OPERATOR, _settle(terms, 10, 10));
        _does(OPERATOR, _resolve(terms, 30, 40));
        _checkPaid(terms, 50, 50);
    }
}
