// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {
    ReentrancyGuardTransient
} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {EscrowBase} from "./EscrowBase.sol";
import {SmartWallet} from "./OddParties.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice That nothing is locked: what anybody can do once the operator, the arbiter or the oracle is
/// gone, and against a party that cannot or will not be paid.
contract EscrowTimeTest is EscrowBase {
    /* WITHOUT AN OPERATOR */

    function testLetsAnybodyBringWhatWasSignedOnceTheGateHasEnded() public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(EXPIRY - 1);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _afterTheGate();
        _does(STRANGER, _release(terms, 10));
        _does(STRANGER, _settle(terms, 10, 10));
        _does(STRANGER, _resolve(terms, 30, 40));
        _checkPaid(terms, 50, 50);
        _fund(terms, 5);
        _does(STRANGER, _sweep(terms));
        _checkPaid(terms, 50, 55);
    }

    /// @dev Else the party that the expiry favours would win by being first, once the operator is gone.
    function testHearsOracleAndArbiterBeforeAnybodyElseExpires() public {
        IEscrow.Terms memory terms = _funded();
        uint256 until = EXPIRY + escrow.GRACE() + escrow.NOTICE();
        vm.warp(until - 1);
        bytes memory refusal =
            abi.encodeWithSelector(EscrowErrorsLib.OperatorOnly.selector, until);
        _refuses(PAYER, _expire(terms), refusal);
        _does(PAYEE, _release(terms, 60));
        vm.warp(until);
        _does(PAYER, _expire(terms));
        _checkPaid(terms, 60, 40);
    }

    /// @notice The bound: whatever was done before, from `expiry` + GRACE + NOTICE on anybody can
    /// empty any purse with {expire} and {sweep}.
    function testLetsAnybodyEmptyAnyPurseAfterTheBound(
        uint256 released,
        uint256 settled,
        uint64 expiry,
        uint256 disputedAt,
        uint256 funding,
        bool[4] memory flags
    ) public {
        IEscrow.Terms memory terms = flags[0] ? _nativeTerms() : _terms();
        terms.expiry = uint64(START + 1 + expiry % 3650 days);
        terms.paysAtExpiry = flags[1];
        if (flags[2]) terms.operator = address(0);
        funding %= 300;
        _fund(terms, funding);
        // What was done before may be refused: it must not matter.
        vm.warp(START + disputedAt % (terms.expiry - START));
        _tries(OPERATOR, _release(terms, released % 101));
        _tries(OPERATOR, _settle(terms, settled % 101, (settled >> 128) % 101));
        if (flags[3]) _tries(PAYER, _dispute(terms, PAYER, PAYER_KEY));

        vm.warp(terms.expiry + escrow.GRACE() + escrow.NOTICE());
        (,,, bool ended) = escrow.state(escrow.idOf(terms));
        if (!ended) _does(STRANGER, _expire(terms));
        if (_held(terms) != 0) _does(STRANGER, _sweep(terms));
        _check(_held(terms) == 0, "empty");
        uint256 toPayee = _balance(terms.asset, PAYEE);
        _check(toPayee <= 100, "no more than was agreed");
        _check(toPayee + _balance(terms.asset, PAYER) == funding, "and nobody else was paid");
    }

    /* WITHOUT AN ARBITER */

    function testGoesOnWhenNobodyResolved() public {
        IEscrow.Terms memory terms = _terms();
        terms.expiry = uint64(START + 365 days);
        _fund(terms, 100);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        uint256 until = START + escrow.RESOLVE_TIME();
        vm.warp(until - 1);
        _refuses(
            OPERATOR,
            _release(terms, 60),
            abi.encodeWithSelector(EscrowErrorsLib.DisputeOpen.selector, until)
        );
        vm.warp(until);
        _does(OPERATOR, _release(terms, 60));
        _checkPaid(terms, 60, 0);
    }

    function testStillHearsTheArbiterWhenTheDisputeHasLapsed() public {
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        vm.warp(START + escrow.RESOLVE_TIME() + 1 days);
        _does(OPERATOR, _resolve(terms, 5, 95));
        _checkPaid(terms, 5, 95);
    }

    function testLetsTheOtherPartyDisputeOnceTheFirstHasLapsed() public {
        IEscrow.Terms memory terms = _terms();
        terms.expiry = uint64(START + 365 days);
        _does(PAYEE, _dispute(terms, PAYEE, PAYEE_KEY));
        vm.warp(START + 30 days);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        (,, uint64 disputedAt,) = escrow.state(escrow.idOf(terms));
        _check(disputedAt == START + 30 days, "begins anew");
    }

    /* WHO CANNOT BE PAID */

    function testPaysNobodyBeforeTheGateEndsWhenOneCannotBePaid() public {
        (IEscrow.Terms memory terms,, SmartWallet payee) = _wallets();
        _does(PAYER, _dispute(terms, terms.payer, PAYER_KEY));
        payee.setMood(SmartWallet.Mood.Refuses);
        bytes memory refusal = abi.encodeWithSelector(
            EscrowErrorsLib.NotPaid.selector, NATIVE, terms.payee, 60
        );
        _refuses(OPERATOR, _resolve(terms, 60, 40), refusal);
        _checkState(terms, 0, 0, false);
        _does(OPERATOR, _resolve(terms, 0, 100));
        _checkPaid(terms, 0, 100);
    }

    function testOwesWhatCannotBePaidAndPaysTheOtherParty(uint8 mood, bool payerToo) public {
        (IEscrow.Terms memory terms, SmartWallet payer, SmartWallet payee) = _wallets();
        bytes32 id = escrow.idOf(terms);
        _does(STRANGER, _dispute(terms, terms.payer, PAYER_KEY));
        payee.setMood(_badMood(mood));
        if (payerToo) payer.setMood(_badMood(mood >> 4));
        _afterTheGate();
        vm.recordLogs();
        _does(STRANGER, _resolve(terms, 60, 40));
        _checkState(terms, 60, 40, true);
        _checkPaid(terms, 0, payerToo ? 0 : 40);
        _check(escrow.owed(id, terms.payee) == 60, "owed to the payee");
        _check(escrow.owed(id, terms.payer) == (payerToo ? 40 : 0), "owed to the payer");
        _refuses(STRANGER, _sweep(terms), EscrowErrorsLib.NothingToPay.selector);

        payee.execute(address(escrow), _claim(terms, terms.payee, ALICE, 45));
        payee.execute(address(escrow), _claim(terms, terms.payee, BOB, 15));
        if (payerToo) payer.execute(address(escrow), _claim(terms, terms.payer, BOB, 40));
        _check(ALICE.balance == 45 && BOB.balance == (payerToo ? 55 : 15), "claimed");
        _check(_held(terms) == 0, "empty");
    }

    function testLetsAnybodyPayAPartyThatCanBePaidAgain() public {
        (IEscrow.Terms memory terms,, SmartWallet payee) = _wallets();
        payee.setMood(SmartWallet.Mood.Refuses);
        _afterTheGate();
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Owed(escrow.idOf(terms), terms.order, terms.payee, 60);
        _does(STRANGER, _release(terms, 60));
        _refuses(
            STRANGER,
            _claim(terms, terms.payee, terms.payee, 60),
            abi.encodeWithSelector(
                EscrowErrorsLib.NotPaid.selector, NATIVE, terms.payee, 60
            )
        );
        payee.setMood(SmartWallet.Mood.Takes);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Claimed(escrow.idOf(terms), terms.order, terms.payee, terms.payee, 60);
        _does(STRANGER, _claim(terms, terms.payee, terms.payee, 60));
        _checkPaid(terms, 60, 0);
    }

    /// @dev What is owed lies in the same purse, and must not be divided or swept again.
    function testNeverDividesWhatIsOwed() public {
        (IEscrow.Terms memory terms,, SmartWallet payee) = _wallets();
        payee.setMood(SmartWallet.Mood.Refuses);
        _afterTheGate();
        _does(STRANGER, _release(terms, 60));
        _check(escrow.left(terms) == 40 && _held(terms) == 100, "40 are left");
        _does(STRANGER, _settle(terms, 10, 10));
        _afterTheNotice();
        _does(STRANGER, _expire(terms));
        _fund(terms, 7);
        _does(STRANGER, _sweep(terms));
        _checkPaid(terms, 0, 37);
        _check(_held(terms) == 70, "all that is owed");
        _check(escrow.owed(escrow.idOf(terms), terms.payee) == 70, "and no more");
    }

    function testOwesASurplusThatThePayerCannotTake() public {
        (IEscrow.Terms memory terms, SmartWallet payer,) = _wallets();
        _fund(terms, 50);
        payer.setMood(SmartWallet.Mood.Refuses);
        _does(OPERATOR, _release(terms, 100));
        _refuses(
            OPERATOR,
            _sweep(terms),
            abi.encodeWithSelector(EscrowErrorsLib.NotPaid.selector, NATIVE, terms.payer, 50)
        );
        _afterTheGate();
        _does(STRANGER, _sweep(terms));
        _refuses(STRANGER, _sweep(terms), EscrowErrorsLib.NothingToPay.selector);
        payer.execute(address(escrow), _claim(terms, terms.payer, ALICE, 50));
        _check(ALICE.balance == 50, "claimed");
    }

    /// @dev What is owed has 128 bits, so such a surplus leaves in parts.
    function testOwesASurplusBeyondWhatCanBeCounted() public {
        IEscrow.Terms memory terms = _terms();
        uint256 most = type(uint128).max;
        _fund(terms, 100 + 2 * most);
        token.setMood(PAYER, OddToken.Mood.Reverts);
        _afterTheGate();
        _does(STRANGER, _release(terms, 100));
        for (uint256 i; i < 2; ++i) {
            _does(STRANGER, _sweep(terms));
            _refuses(STRANGER, _sweep(terms), EscrowErrorsLib.NothingToPay.selector);
            _does(PAYER, _claim(terms, PAYER, ALICE, most));
        }
        _check(token.balanceOf(ALICE) == 2 * most && _held(terms) == 0, "all of it");
    }

    /// @dev Both may burn all they are given: whoever brings the call pays for two caps, not for a block.
    function testBoundsTheGasThatRecipientsCanBurn() public {
        (IEscrow.Terms memory terms, SmartWallet payer, SmartWallet payee) = _wallets();
        payer.setMood(SmartWallet.Mood.BurnsAllGas);
        payee.setMood(SmartWallet.Mood.BurnsAllGas);
        _afterTheGate();
        bytes memory call_ = _settle(terms, 60, 40);
        uint256 before = gasleft();
        _does(STRANGER, call_);
        uint256 most = 2 * (escrow.PAY_GAS_CAP() + escrow.PAY_GAS_RESERVE()) + 200_000;
        _check(before - gasleft() < most, "two caps");
    }

    /// @dev Whatever the gas, a good recipient is paid or the call reverts.
    function testNeverOwesForWantOfGas(uint256 gas) public {
        (IEscrow.Terms memory terms,,) = _wallets();
        _afterTheGate();
        gas = 100_000 + gas % 700_000;
        bytes memory call_ = _release(terms, 60);
        vm.prank(STRANGER);
        (bool done,) = address(escrow).call{gas: gas}(call_);
        _check(escrow.owed(escrow.idOf(terms), terms.payee) == 0, "never owed");
        _checkPaid(terms, done ? 60 : 0, 0);
        _does(STRANGER, _release(terms, 61));
    }

    function testSaysWhenThereIsTooLittleGas() public {
        (IEscrow.Terms memory terms,,) = _wallets();
        _afterTheGate();
        bytes memory call_ = _release(terms, 60);
        vm.prank(STRANGER);
        (bool done, bytes memory answer) = address(escrow).call{gas: 400_000}(call_);
        _check(!done, "refused");
        _check(bytes4(answer) == EscrowErrorsLib.InsufficientGas.selector, "for that reason");
    }

    /* REENTRANCY */

    function testRefusesToReenterWhileItPays() public {
        (IEscrow.Terms memory terms,, SmartWallet payee) = _wallets();
        terms.operator = address(payee);
        _fund(terms, 100);
        bytes[8] memory calls = [
            _release(terms, 100),
            _settle(terms, 40, 0),
            _dispute(terms, terms.payee, PAYEE_KEY),
            _resolve(terms, 40, 0),
            _expire(terms),
            _sweep(terms),
            abi.encodeCall(IEscrow.returnOther, (terms, address(token))),
            _claim(terms, terms.payee, ALICE, 1)
        ];
        payee.setMood(SmartWallet.Mood.Reenters);
        for (uint256 i; i < calls.length; ++i) {
            payee.setReentrantCall(address(escrow), calls[i]);
            payee.execute(address(escrow), _release(terms, 10 + i));
            _check(
                payee.reentrancyAnswer()
                    == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector,
                "refused for that reason"
            );
            _checkPaid(terms, 10 + i, 0);
        }
    }

    /* HELPERS */

    /// @dev Native coin between two wallets with code, funded.
    function _wallets()
        internal
        returns (IEscrow.Terms memory terms, SmartWallet payer, SmartWallet payee)
    {
        (payer, payee) = (new SmartWallet(PAYER), new SmartWallet(PAYEE));
        terms = _nativeTerms();
        (terms.payer, terms.payee) = (address(payer), address(payee));
        _fund(terms, 100);
    }

    function _badMood(uint8 mood) internal pure returns (SmartWallet.Mood) {
        SmartWallet.Mood[4] memory bad = [
            SmartWallet.Mood.Refuses,
            SmartWallet.Mood.BurnsAllGas,
            SmartWallet.Mood.FloodsReturnData,
            SmartWallet.Mood.SendsBack
        ];
        return bad[mood % 4];
    }
}
