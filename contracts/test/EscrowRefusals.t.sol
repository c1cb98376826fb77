// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowErrorsLib} from "../src/libraries/EscrowErrorsLib.sol";
import {EscrowBase, Messages} from "./EscrowBase.sol";

interface IPurse {
    function pay(address asset, address to, uint256 amount) external;
}

/// @notice What does not move funds, whoever tries: terms, the gate, releases, the end, claims.
contract EscrowRefusalsTest is EscrowBase {
    /* TERMS */

    function testRefusesTermsUnderWhichFundsWouldGoAstray() public {
        address[3] memory nowhere = [address(0), address(escrow), address(token)];
        for (uint256 i; i < nowhere.length; ++i) {
            IEscrow.Terms memory terms = _terms();
            terms.payer = nowhere[i];
            _refusesTerms(terms);
            terms = _terms();
            terms.payee = nowhere[i];
            _refusesTerms(terms);
        }
    }

    function _refusesTerms(IEscrow.Terms memory terms) internal {
        vm.warp(EXPIRY);
        bytes4 refusal = EscrowErrorsLib.InvalidTerms.selector;
        _refuses(OPERATOR, abi.encodeCall(IEscrow.purseOf, (terms)), refusal);
        _refuses(OPERATOR, abi.encodeCall(IEscrow.left, (terms)), refusal);
        _refuses(OPERATOR, _release(terms, 1), refusal);
        _refuses(OPERATOR, _settle(terms, 1, 1), refusal);
        _refuses(PAYER, _dispute(terms, PAYER, PAYER_KEY), refusal);
        _refuses(OPERATOR, _resolve(terms, 1, 1), refusal);
        _refuses(OPERATOR, _expire(terms), refusal);
        _refuses(OPERATOR, _sweep(terms), refusal);
        _refuses(OPERATOR, _claim(terms, PAYER, PAYER, 1), refusal);
    }

    /// @dev Else the same terms could be written in many ways, each with a purse of its own.
    function testRefusesTermsWithRubbishInTheirWords() public {
        IEscrow.Terms memory terms = _terms();
        for (uint256 word = 1; word < 10; ++word) {
            if (word == 2) continue; // the amount fills its word
            bytes memory call_ = abi.encodeCall(IEscrow.purseOf, (terms));
            call_[4 + 32 * word] = 0x01;
            _refuses(STRANGER, call_, bytes(""));
            call_ = abi.encodeCall(IEscrow.idOf, (terms));
            call_[4 + 32 * word] = 0x01;
            _refuses(STRANGER, call_, bytes(""));
        }
    }

    /* THE GATE */

    function testRefusesEverybodyButTheOperatorUntilTheGateEnds(address stranger, uint256 time)
        public
    {
        vm.assume(stranger != OPERATOR);
        IEscrow.Terms memory terms = _funded();
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        bytes[4] memory calls =
            [_release(terms, 1), _settle(terms, 1, 1), _resolve(terms, 1, 1), _sweep(terms)];
        uint256 until = EXPIRY + escrow.GRACE();
        vm.warp(START + time % (until - START));
        bytes memory refusal = _error(EscrowErrorsLib.OperatorOnly.selector, until);
        for (uint256 i; i < calls.length; ++i) _refuses(stranger, calls[i], refusal);

        until += escrow.NOTICE();
        vm.warp(START + time % (until - START));
        refusal = _error(EscrowErrorsLib.OperatorOnly.selector, until);
        _refuses(stranger, _expire(terms), refusal);
    }

    function testRefusesThePartiesThemselvesBeforeTheGateEnds() public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(EXPIRY + escrow.GRACE() - 1);
        bytes memory refusal =
            _error(EscrowErrorsLib.OperatorOnly.selector, EXPIRY + escrow.GRACE());
        _refuses(PAYER, _settle(terms, 100, 0), refusal);
        _refuses(PAYEE, _release(terms, 100), refusal);
    }

    /* RELEASES */

    function testRefusesAReleaseThatTheOracleDidNotSign(uint256 key) public {
        key = key % 1e18 + 1;
        vm.assume(key != ORACLE_KEY);
        IEscrow.Terms memory terms = _funded();
        _refuses(OPERATOR, _release(terms, 1, key), _unsigned(terms.oracle));
    }

    function testRefusesWhatTheOracleSignedForSomethingElse() public {
        IEscrow.Terms memory terms = _funded();
        bytes32 id = escrow.idOf(terms);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Release(bytes32 id,uint256 total,bytes32 evidence)"), id, 50, EVIDENCE
            )
        );
        bytes32[8] memory digests = [
            Messages.release(address(escrow), id, 51, EVIDENCE),
            Messages.release(address(escrow), id, 50, REASON),
            Messages.release(address(escrow), bytes32(uint256(id) + 1), 50, EVIDENCE),
            Messages.release(address(_newEscrow()), id, 50, EVIDENCE),
            Messages.digest(address(escrow), block.chainid + 1, structHash),
            Messages.division("Settlement", address(escrow), id, 50, uint256(EVIDENCE), 0),
            Messages.dispute(address(escrow), id, EVIDENCE),
            structHash
        ];
        for (uint256 i; i < digests.length; ++i) {
            bytes memory signature = Messages.signed(ORACLE_KEY, digests[i]);
            _refuses(
                OPERATOR,
                abi.encodeCall(IEscrow.release, (terms, 50, EVIDENCE, signature)),
                _unsigned(terms.oracle)
            );
        }
        _refuses(
            OPERATOR,
            abi.encodeCall(IEscrow.release, (terms, 50, EVIDENCE, "")),
            _unsigned(terms.oracle)
        );
    }

    function testRefusesAnAttestationUnderAnyOtherTerms(uint256 word) public {
        IEscrow.Terms memory terms = _funded();
        bytes memory call_ = _release(terms, 50);
        IEscrow.Terms memory others = _terms();
        word %= 8;
        if (word == 0) others.order = keccak256("another");
        if (word == 1) others.asset = NATIVE;
        if (word == 2) others.amount = 101;
        if (word == 3) others.payer = ALICE;
        if (word == 4) others.payee = BOB;
        if (word == 5) others.arbiter = ALICE;
        if (word == 6) others.expiry += 1;
        if (word == 7) others.paysAtExpiry = true;
        _fund(others, 100);
        bytes memory words = abi.encode(others);
        for (uint256 i; i < words.length; ++i) call_[4 + i] = words[i];
        _refuses(OPERATOR, call_, _unsigned(terms.oracle));
    }

    function testRefusesAnAttestationAfterTheChainSplit() public {
        IEscrow.Terms memory terms = _funded();
        bytes memory before = _release(terms, 50);
        bytes32 id = escrow.idOf(terms);
        vm.chainId(block.chainid + 1);
        _check(escrow.idOf(terms) == id, "the funds are still found");
        _refuses(OPERATOR, before, _unsigned(terms.oracle));
        _does(OPERATOR, _release(terms, 50));
    }

    function testRefusesAReleaseUnderTermsWithoutAnOracle() public {
        IEscrow.Terms memory terms = _terms();
        terms.oracle = address(0);
        _fund(terms, 100);
        _refuses(OPERATOR, _release(terms, 1), EscrowErrorsLib.NoOracle.selector);
        _refuses(
            OPERATOR,
            abi.encodeCall(IEscrow.release, (terms, 1, EVIDENCE, new bytes(65))),
            EscrowErrorsLib.NoOracle.selector
        );
    }

    function testRefusesToReleaseMoreThanTheEscrowIsAbout() public {
        IEscrow.Terms memory terms = _funded();
        _fund(terms, 100);
        _refuses(
            OPERATOR,
            _release(terms, 101),
            abi.encodeWithSelector(EscrowErrorsLib.TotalAboveAmount.selector, 101, 100)
        );
    }

    function testRefusesToPayAnAttestationTwiceOrAnEarlierOneLater() public {
        IEscrow.Terms memory terms = _funded();
        _does(OPERATOR, _release(terms, 60));
        _refuses(OPERATOR, _release(terms, 60), EscrowErrorsLib.NothingToPay.selector);
        _refuses(OPERATOR, _release(terms, 59), EscrowErrorsLib.NothingToPay.selector);
        _refuses(OPERATOR, _release(terms, 0), EscrowErrorsLib.NothingToPay.selector);
        _checkPaid(terms, 60, 0);
    }

    function testRefusesToReleaseFromAnEmptyPurse() public {
        _refuses(OPERATOR, _release(_terms(), 60), EscrowErrorsLib.NothingToPay.selector);
    }

    /* THE END */

    function testRefusesToExpireBeforeTheExpiry(uint256 time) public {
        IEscrow.Terms memory terms = _funded();
        vm.warp(START + time % (EXPIRY - START));
        _refuses(OPERATOR, _expire(terms), _error(EscrowErrorsLib.TooEarly.selector, EXPIRY));
        vm.warp(EXPIRY);
        _does(OPERATOR, _expire(terms));
    }

    function testRefusesEverythingAfterTheEnd() public {
        IEscrow.Terms memory terms = _terms();
        _fund(terms, 300);
        _does(PAYER, _dispute(terms, PAYER, PAYER_KEY));
        _does(OPERATOR, _resolve(terms, 50, 30));
        _afterTheNotice();
        _refuses(OPERATOR, _release(terms, 100), _ended(terms));
        _refuses(OPERATOR, _settle(terms, 10, 10), _ended(terms));
        _refuses(OPERATOR, _resolve(terms, 10, 10), _ended(terms));
        _refuses(OPERATOR, _expire(terms), _ended(terms));
        _checkPaid(terms, 50, 30);
        _check(escrow.left(terms) == 0, "nothing is left to divide");
    }

    function testRefusesToSweepBeforeTheEndOrNothing() public {
        IEscrow.Terms memory terms = _terms();
        _fund(terms, 150);
        _refuses(OPERATOR, _sweep(terms), _notEnded(terms));
        _does(OPERATOR, _release(terms, 100));
        _does(OPERATOR, _sweep(terms));
        _refuses(OPERATOR, _sweep(terms), EscrowErrorsLib.NothingToPay.selector);
    }

    /* CLAIMS AND PURSES */

    function testRefusesClaimsOfOthersToTooMuchAndToNowhere() public {
        IEscrow.Terms memory terms = _nativeTerms();
        terms.payee = address(this); // takes no native coin
        _fund(terms, 100);
        _afterTheGate();
        _does(STRANGER, _release(terms, 70));
        _check(escrow.owed(escrow.idOf(terms), address(this)) == 70, "owed");

        bytes memory refusal = abi.encodeWithSelector(EscrowErrorsLib.NotParty.selector, STRANGER);
        _refuses(STRANGER, _claim(terms, address(this), STRANGER, 70), refusal);
        _refuses(STRANGER, _claim(terms, STRANGER, STRANGER, 70), _tooMuch(70, 0));
        _refuses(PAYER, _claim(terms, PAYER, PAYER, 1), _tooMuch(1, 0));
        _refuses(address(this), _claim(terms, address(this), ALICE, 71), _tooMuch(71, 70));
        _refuses(
            address(this),
            _claim(terms, address(this), ALICE, 0),
            EscrowErrorsLib.NothingToPay.selector
        );
        address[2] memory nowhere = [address(0), address(escrow)];
        for (uint256 i; i < nowhere.length; ++i) {
            _refuses(
                address(this),
                _claim(terms, address(this), nowhere[i], 70),
                abi.encodeWithSelector(EscrowErrorsLib.InvalidRecipient.selector, nowhere[i])
            );
        }
        address purse = escrow.purseOf(terms);
        _refuses(
            address(this),
            _claim(terms, address(this), purse, 70),
            abi.encodeWithSelector(EscrowErrorsLib.NotPaid.selector, NATIVE, purse, 70)
        );
        _does(address(this), _claim(terms, address(this), ALICE, 70));
        _refuses(address(this), _claim(terms, address(this), ALICE, 70), _tooMuch(70, 0));
        _check(ALICE.balance == 70, "once");
    }

    function testRefusesAPurseToPayForAnybodyElse(address stranger) public {
        vm.assume(stranger != address(escrow));
        IEscrow.Terms memory terms = _terms();
        _fund(terms, 200);
        _does(OPERATOR, _release(terms, 50));
        address[2] memory purses = [escrow.purseOf(terms), escrow.PURSE()];
        for (uint256 i; i < purses.length; ++i) {
            vm.prank(stranger);
            vm.expectRevert(
                abi.encodeWithSelector(EscrowErrorsLib.NotEscrow.selector, stranger)
            );
            IPurse(purses[i]).pay(address(token), stranger, 1);
        }
    }

    function testRefusesNativeCoinForTheEscrowItself() public {
        vm.deal(address(this), 1);
        (bool done,) = address(escrow).call{value: 1}("");
        _check(!done, "nothing lies outside purses");
    }
}
