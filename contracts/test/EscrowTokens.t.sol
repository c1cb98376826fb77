// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {EscrowBase} from "./EscrowBase.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice Tokens that misbehave, or come to.
contract EscrowTokensTest is EscrowBase {
    /// @dev None of these moves anything, or what it moved is taken back.
    function testPaysNothingWhenATokenDoesNotSayACleanYesOrLies() public {
        IEscrow.Terms memory terms = _funded();
        bytes memory refusal = abi.encodeWithSelector(
            EscrowErrorsLib.NotPaid.selector, address(token), PAYEE, 60
        );
        OddToken.Mood[8] memory moods = _badMoods();
        for (uint256 i; i < moods.length; ++i) {
            token.setMood(PAYEE, moods[i]);
            _refuses(OPERATOR, _release(terms, 60), refusal);
            _checkPaid(terms, 0, 0);
            _checkState(terms, 0, 0, false);
        }
    }

    function testOwesWhatATokenDoesNotPayOnceTheGateHasEnded(uint8 mood) public {
        OddToken.Mood[8] memory moods = _badMoods();
        IEscrow.Terms memory terms = _funded();
        token.setMood(PAYEE, moods[mood % 8]);
        _afterTheGate();
        _does(STRANGER, _settle(terms, 60, 40));
        _checkPaid(terms, 0, 40);
        _check(_held(terms) == 60, "nothing has left");
        _check(escrow.owed(escrow.idOf(terms), PAYEE) == 60, "and is owed");
        _does(PAYEE, _claim(terms, PAYEE, ALICE, 60));
        _check(token.balanceOf(ALICE) == 60 && _held(terms) == 0, "to another address");
    }

    function _badMoods() internal pure returns (OddToken.Mood[8] memory) {
        return [
            OddToken.Mood.ReturnsFalse,
            OddToken.Mood.ReturnsTwo,
            OddToken.Mood.Reverts,
            OddToken.Mood.BurnsAllGas,
            OddToken.Mood.MovesAndReturnsFalse,
            OddToken.Mood.LiesThatItMoved,
            OddToken.Mood.ReturnsOneByte,
            OddToken.Mood.SendsBack
        ];
    }

    function testPaysTokensThatAnswerNothingOrTooMuch() public {
        IEscrow.Terms memory terms = _funded();
        token.setMood(PAYEE, OddToken.Mood.ReturnsNothing);
        _does(OPERATOR, _release(terms, 30));
        token.setMood(PAYEE, OddToken.Mood.FloodsReturnData);
        _does(OPERATOR, _release(terms, 60));
        _checkPaid(terms, 60, 0);
    }

    function testCannotBeReenteredByAToken() public {
        IEscrow.Terms memory terms = _funded();
        terms.operator = address(token);
        _fund(terms, 100);
        token.setMood(PAYEE, OddToken.Mood.Reenters);
        token.setReentrantCall(_release(terms, 100));
        _does(address(token), _release(terms, 50));
        _check(token.reentrancyRefused(), "refused");
        _checkPaid(terms, 50, 0);
    }

    /// @dev What arrives is less than what was agreed; what is there is divided, and none is locked.
    function testDividesWhatATokenThatTakesFeesLeavesOfTheFunding() public {
        IEscrow.Terms memory terms = _terms();
        token.mint(address(this), 100);
        token.setMood(escrow.purseOf(terms), OddToken.Mood.TakesFeeFromRecipient);
        token.transfer(escrow.purseOf(terms), 100);
        _check(escrow.left(terms) == 99, "less came");
        token.setMood(PAYEE, OddToken.Mood.TakesFeeFromRecipient);
        _does(OPERATOR, _release(terms, 50));
        _check(token.balanceOf(PAYEE) == 49, "the fee is the payee's");
        vm.warp(EXPIRY);
        _does(OPERATOR, _expire(terms));
        _checkPaid(terms, 49, 49);
        _checkState(terms, 50, 49, true);
    }

    /// @dev The last unit has nothing to pay its fee from; a claim of less has.
    function testEmptiesAPurseOfATokenThatTakesItsFeeFromTheSender() public {
        IEscrow.Terms memory terms = _funded();
        token.setMood(PAYER, OddToken.Mood.TakesFeeFromSender);
        vm.warp(EXPIRY);
        (bool done) = _tries(OPERATOR, _expire(terms));
        _check(!done, "nothing to pay the fee from");
        _afterTheNotice();
        _does(STRANGER, _expire(terms));
        _does(STRANGER, _claim(terms, PAYER, PAYER, 99));
        _checkPaid(terms, 0, 99);
        _check(_held(terms) == 0, "empty");
    }

    function testGoesOnWhenAnIssuerSeizesWhatAPurseHolds(uint256 seized) public {
        IEscrow.Terms memory terms = _funded();
        token.setMood(PAYEE, OddToken.Mood.Reverts);
        _afterTheGate();
        _does(STRANGER, _release(terms, 60));
        seized %= 101;
        token.seize(escrow.purseOf(terms), seized);
        _check(escrow.left(terms) == (seized < 40 ? 40 - seized : 0), "what is owed comes first");
        _afterTheNotice();
        _does(STRANGER, _expire(terms));
        uint256 held = _held(terms);
        _check(held == (seized < 40 ? 60 : 100 - seized), "the payer had the rest");
        if (held != 0) _does(PAYEE, _claim(terms, PAYEE, ALICE, held));
        _check(_held(terms) == 0, "empty");
    }

    function testWaitsForATokenThatIsStopped() public {
        IEscrow.Terms memory terms = _funded();
        token.setMood(PAYER, OddToken.Mood.Reverts);
        token.setMood(PAYEE, OddToken.Mood.Reverts);
        _afterTheGate();
        _does(STRANGER, _settle(terms, 50, 50));
        token.setMood(PAYER, OddToken.Mood.ReturnsTrue);
        token.setMood(PAYEE, OddToken.Mood.ReturnsTrue);
        _does(STRANGER, _claim(terms, PAYER, PAYER, 50));
        _does(STRANGER, _claim(terms, PAYEE, PAYEE, 50));
        _checkPaid(terms, 50, 50);
    }

    function testRefusesToDivideWhatATokenDoesNotCount() public {
        IEscrow.Terms memory terms = _funded();
        token.setMute(true);
        _check(!_tries(OPERATOR, _release(terms, 50)), "a mute token");
        token.setMute(false);
        terms.asset = address(0xc0de1e55);
        _check(!_tries(OPERATOR, _release(terms, 50)), "an address without code");
        terms.asset = PAYEE;
        _check(!_tries(OPERATOR, _release(terms, 50)), "a party");
    }

    function testReturnsOtherAssetsThatLieInAPurse() public {
        IEscrow.Terms memory terms = _funded();
        OddToken other = new OddToken();
        other.mint(escrow.purseOf(terms), 7);
        vm.deal(escrow.purseOf(terms), 5);
        _refuses(
            STRANGER,
            _returnOther(terms, NATIVE),
            abi.encodeWithSelector(EscrowErrorsLib.OperatorOnly.selector, EXPIRY + escrow.GRACE())
        );
        _does(OPERATOR, _returnOther(terms, NATIVE));
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IEscrow.Returned(escrow.idOf(terms), terms.order, address(other), 7);
        _does(OPERATOR, _returnOther(terms, address(other)));
        _check(PAYER.balance == 5 && other.balanceOf(PAYER) == 7, "to the payer");
        _check(escrow.left(terms) == 100, "and nothing else");
        _refuses(OPERATOR, _returnOther(terms, NATIVE), EscrowErrorsLib.NothingToPay.selector);
    }

    function testNeverTakesTheTermsOwnAssetForAnother() public {
        IEscrow.Terms memory terms = _funded();
        bytes4 refusal = EscrowErrorsLib.NotAnotherAsset.selector;
        _refuses(
            OPERATOR,
            _returnOther(terms, address(token)),
            abi.encodeWithSelector(refusal, address(token))
        );
        SecondAddress second = new SecondAddress(token);
        _refuses(
            OPERATOR,
            _returnOther(terms, address(second)),
            abi.encodeWithSelector(refusal, address(second))
        );
        _check(_held(terms) == 100, "untouched");
    }

    function _returnOther(IEscrow.Terms memory terms, address asset)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IEscrow.returnOther, (terms, asset));
    }
}

/// @notice A token's second address, as a few old ones have.
contract SecondAddress {
    OddToken internal immutable token;

    constructor(OddToken token_) {
        token = token_;
    }

    function balanceOf(address account) external view returns (uint256) {
        return token.balanceOf(account);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        token.seize(msg.sender, amount);
        token.mint(to, amount);
        return true;
    }
}
