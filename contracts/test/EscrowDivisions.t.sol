// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {EscrowBase, Messages} from "./EscrowBase.sol";

/// @notice What does not move funds, or freeze them, whoever tries: settlements, disputes, resolutions.
contract EscrowDivisionsTest is EscrowBase {
    /* SETTLEMENTS */

    function testRefusesASettlementThatOneOfThemDidNotSign() public {
        IEscrow.Terms memory terms = _funded();
        bytes32 digest = _division("Settlement", terms, 40, 30);
        bytes memory payers = Messages.signed(PAYER_KEY, digest);
        bytes memory payees = Messages.signed(PAYEE_KEY, digest);
        bytes memory thiefs = Messages.signed(THIEF_KEY, digest);
        _refusesSettlement(terms, 40, 30, thiefs, payees, PAYER);
        _refusesSettlement(terms, 40, 30, payers, thiefs, PAYEE);
        _refusesSettlement(terms, 40, 30, payees, payers, PAYER);
        _refusesSettlement(terms, 40, 30, payers, payers, PAYEE);
        _refusesSettlement(terms, 40, 30, "", payees, PAYER);
        _refusesSettlement(terms, 40, 30, payers, "", PAYEE);
        _refusesSettlement(terms, 41, 30, payers, payees, PAYER);
        _refusesSettlement(terms, 40, 31, payers, payees, PAYER);
        _refusesSettlement(terms, 30, 40, payers, payees, PAYER);
        bytes32 decision = _division("Resolution", terms, 40, 30);
        payers = Messages.signed(PAYER_KEY, decision);
        payees = Messages.signed(PAYEE_KEY, decision);
        _refusesSettlement(terms, 40, 30, payers, payees, PAYER);
    }

    function _refusesSettlement(
        IEscrow.Terms memory terms,
        uint256 toPayee,
        uint256 toPayer,
        bytes memory payers,
        bytes memory payees,
        address blamed
    ) internal {
        bytes memory call_ =
            abi.encodeCall(IEscrow.settle, (terms, toPayee, toPayer, payers, payees));
        _refuses(OPERATOR, call_, _unsigned(blamed));
    }

    function testRefusesASettlementTwice() public {
        IEscrow.Terms memory terms = _funded();
        bytes memory call_ = _settle(terms, 10, 20);
        _does(OPERATOR, call_);
        _refuses(OPERATOR, call_, _unsigned(PAYER));
        _checkPaid(terms, 10, 20);
    }

    function testRefusesASettlementAgreedOnBeforeSomethingElseWasPaid() public {
        IEscrow.Terms memory terms = _funded();
        bytes memory call_ = _settle(terms, 10, 20);
        _does(OPERATOR, _release(terms, 5));
        _refuses(OPERATOR, call_, _unsigned(PAYER));
    }

    function testRefusesASettlementOfNothing() public {
        _refuses(OPERATOR, _settle(_funded(), 0, 0), EscrowErrorsLib.NothingToPay.selector);
    }

    function testRefusesToDivideMoreThanIsLeft(uint256 toPayee, uint256 toPayer) public {
        IEscrow.Terms memory terms = _funded();
        _fund(terms, 100);
        toPayee %= 300;
        toPayer %= 300;
        vm.assume(toPayee + toPayer > 100);
        _refuses(OPERATOR, _settle(terms, toPayee, toPayer), _tooMuch(toPayee + toPayer, 100));
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _refuses(OPERATOR, _resolve(terms, toPayee, toPayer), _tooMuch(toPayee + toPayer, 100));
    }

    function testRefusesSumsThatOverflow() public {
        IEscrow.Terms memory terms = _funded();
        uint256 most = type(uint256).max;
        _refuses(OPERATOR, _settle(terms, most, 1), _tooMuch(most, 100));
        _refuses(OPERATOR, _settle(terms, 1, most), _tooMuch(most, 100));
        _refuses(OPERATOR, _settle(terms, most, most), _tooMuch(most, 100));
    }

    /* DISPUTES */

    function testRefusesADisputeByAnybodyElse(uint256 key) public {
        key = key % 1e18 + 1;
        vm.assume(key != PAYER_KEY && key != PAYEE_KEY);
        IEscrow.Terms memory terms = _funded();
        address by = vm.addr(key);
        bytes memory refusal = abi.encodeWithSelector(EscrowErrorsLib.NotParty.selector, by);
        _refuses(by, abi.encodeCall(IEscrow.dispute, (terms, by, REASON, "")), refusal);
        _refuses(by, _dispute(terms, by, key), refusal);
        _refuses(by, _dispute(terms, PAYER, key), _unsigned(PAYER));
        _refuses(by, _dispute(terms, PAYEE, key), _unsigned(PAYEE));
        bytes memory unsigned = abi.encodeCall(IEscrow.dispute, (terms, PAYER, REASON, ""));
        _refuses(by, unsigned, _unsigned(PAYER));
        _refuses(PAYEE, unsigned, _unsigned(PAYER));
        _refuses(OPERATOR, unsigned, _unsigned(PAYER));
    }

    function testRefusesADisputeSignedForAnotherReasonOrEscrow() public {
        IEscrow.Terms memory terms = _funded();
        bytes32 id = escrow.idOf(terms);
        bytes memory signature =
            Messages.signed(PAYER_KEY, Messages.dispute(address(escrow), id, EVIDENCE));
        bytes memory call_ = abi.encodeCall(IEscrow.dispute, (terms, PAYER, REASON, signature));
        _refuses(STRANGER, call_, _unsigned(PAYER));
        _refuses(PAYER, call_, _unsigned(PAYER));
        signature = Messages.signed(PAYER_KEY, Messages.dispute(address(escrow), ~id, REASON));
        call_ = abi.encodeCall(IEscrow.dispute, (terms, PAYER, REASON, signature));
        _refuses(STRANGER, call_, _unsigned(PAYER));
    }

    function testRefusesADisputeFromTheExpiryOn() public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(EXPIRY);
        bytes memory refusal = _error(EscrowErrorsLib.TooLate.selector, EXPIRY);
        _refuses(PAYER, _dispute(terms, PAYER, PAYER_KEY), refusal);
        vm.warp(EXPIRY - 1);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
    }

    function testRefusesADisputeThatNobodyCouldResolve() public {
        IEscrow.Terms memory terms = _terms();
        terms.arbiter = address(0);
        _refuses(PAYER, _dispute(terms, PAYER, PAYER_KEY), EscrowErrorsLib.NoArbiter.selector);
    }

    function testRefusesADisputeOfWhatHasEnded() public {
        IEscrow.Terms memory terms = _funded();
        _does(OPERATOR, _release(terms, 100));
        _refuses(PAYER, _dispute(terms, PAYER, PAYER_KEY), _ended(terms));
    }

    function testRefusesASecondDisputeWhileOneIsOpen() public {
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _refuses(PAYEE, _dispute(terms, PAYEE, PAYEE_KEY), _open(START));
    }

    /// @dev Else one signature could freeze an escrow again and again.
    function testRefusesTheSecondDisputeOfEitherParty() public {
        IEscrow.Terms memory terms = _terms();
        terms.expiry = uint64(START + 365 days);
        bytes memory payers = _dispute(terms, PAYER, PAYER_KEY);
        bytes memory payees = _dispute(terms, PAYEE, PAYEE_KEY);
        _does(STRANGER, payers);
        vm.warp(START + 30 days);
        _refuses(
            STRANGER,
            payers,
            abi.encodeWithSelector(EscrowErrorsLib.DisputedBefore.selector, PAYER)
        );
        _does(STRANGER, payees);
        vm.warp(START + 60 days);
        _refuses(
            PAYEE,
            payees,
            abi.encodeWithSelector(EscrowErrorsLib.DisputedBefore.selector, PAYEE)
        );
        _refuses(
            PAYER,
            abi.encodeCall(IEscrow.dispute, (terms, PAYER, EVIDENCE, "")),
            abi.encodeWithSelector(EscrowErrorsLib.DisputedBefore.selector, PAYER)
        );
    }

    function testRefusesToReleaseOrExpireWhileADisputeIsOpen(uint256 time) public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(EXPIRY - 1);
        _does(PAYEE, _dispute(terms, PAYEE, PAYEE_KEY));
        bytes memory refusal = _open(EXPIRY - 1);
        vm.warp(EXPIRY - 1 + time % escrow.RESOLVE_TIME());
        _refuses(OPERATOR, _release(terms, 1), refusal);
        vm.warp(EXPIRY + time % (escrow.RESOLVE_TIME() - 1));
        _refuses(OPERATOR, _expire(terms), refusal);
        _refuses(OPERATOR, _sweep(terms), _notEnded(terms));
    }

    /* RESOLUTIONS */

    function testRefusesToResolveWhatNobodyDisputed() public {
        _refuses(OPERATOR, _resolve(_funded(), 1, 1), EscrowErrorsLib.NoDispute.selector);
    }

    function testRefusesAResolutionThatTheArbiterDidNotSign() public {
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        bytes32 digest = _division("Resolution", terms, 60, 40);
        bytes32 id = escrow.idOf(terms);
        bytes[6] memory signatures = [
            Messages.signed(THIEF_KEY, digest),
            Messages.signed(PAYER_KEY, digest),
            bytes(""),
            Messages.signed(ARBITER_KEY, _division("Settlement", terms, 60, 40)),
            Messages.signed(
                ARBITER_KEY, Messages.division("Resolution", address(escrow), id, 60, 40, 1)
            ),
            Messages.signed(
                ARBITER_KEY, Messages.division("Resolution", address(escrow), ~id, 60, 40, 0)
            )
        ];
        for (uint256 i; i < signatures.length; ++i) {
            bytes memory call_ = abi.encodeCall(IEscrow.resolve, (terms, 60, 40, signatures[i]));
            _refuses(OPERATOR, call_, _unsigned(terms.arbiter));
        }
        bytes memory good = Messages.signed(ARBITER_KEY, digest);
        bytes memory turned = abi.encodeCall(IEscrow.resolve, (terms, 40, 60, good));
        _refuses(OPERATOR, turned, _unsigned(terms.arbiter));
    }

    function testRefusesAResolutionTakenBeforeSomethingElseWasPaid() public {
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        bytes memory call_ = _resolve(terms, 10, 20);
        _does(OPERATOR, _settle(terms, 10, 10));
        _refuses(OPERATOR, call_, _unsigned(terms.arbiter));
    }
}
