// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {IVault} from "../src/interfaces/IVault.sol";
import {ErrorsLib} from "../src/libraries/ErrorsLib.sol";
import {Base} from "./Base.sol";
import {OddToken, Picky, ReentrantRecipient} from "./OddTokens.sol";

/// @notice What a batch refuses, skips and pays, whatever the token does.
contract BatchesTest is Base {
    /* REFUSALS */

    function testRefusesStrangersWhoeverTheyAre(address stranger) public {
        vm.assume(stranger != SETTLER);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotSettler.selector, stranger));
        vault.payBatch(1, ROOT, address(token), 32, _rows(ALICE, 1, BOB, 1));
    }

    function testRefusesAnyBatchIdTwice(uint256 batchId, bytes32 secondRoot) public {
        vm.assume(secondRoot != bytes32(0));
        _pay(batchId, address(token), _rows(ALICE, 1, BOB, 1));
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.BatchAlreadyPaid.selector, batchId));
        vault.payBatch(batchId, secondRoot, address(token), 32, _rows(ALICE, 1, BOB, 1));
    }

    function testRefusesABatchWithoutARoot() public {
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.ZeroRoot.selector));
        vault.payBatch(1, bytes32(0), address(token), 32, _row(ALICE, 1));
    }

    function testRefusesAnEmptyBatch() public {
        _refusesToPay(abi.encodeWithSelector(ErrorsLib.EmptyBatch.selector), address(token), "");
    }

    function testRefusesRowsThatAreNone(uint8 rowBytes, uint8 length) public {
        vm.assume(length != 0);
        vm.assume(rowBytes < 21 || rowBytes > 34 || length % rowBytes != 0);
        vm.prank(SETTLER);
        vm.expectRevert(
            abi.encodeWithSelector(ErrorsLib.MalformedRows.selector, length, rowBytes)
        );
        vault.payBatch(1, ROOT, address(token), rowBytes, new bytes(length));
    }

    function testRefusesRowsThatAreTooShortOrTooLongByAByte() public {
        uint256[2] memory lengths = [uint256(20), 35];
        for (uint256 i; i < 2; ++i) {
            bytes memory rows = new bytes(lengths[i]);
            rows[0] = 0x01; // a recipient that is not zero, and an amount of zero
            vm.prank(SETTLER);
            vm.expectRevert(
                abi.encodeWithSelector(ErrorsLib.MalformedRows.selector, lengths[i], lengths[i])
            );
            vault.payBatch(1, ROOT, address(token), lengths[i], rows);
        }
    }

    function testRefusesAnAssetThatIsNotListed(address asset) public {
        vm.assume(asset != address(token) && asset != NATIVE);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.AssetNotListed.selector, asset), asset, _row(ALICE, 1)
        );
    }

    function testRefusesWhilePaused() public {
        vm.prank(PAUSER);
        vault.pause();
        _refusesToPay(
            abi.encodeWithSelector(Pausable.EnforcedPause.selector),
            address(token),
            _row(ALICE, 1)
        );
    }

    function testRefusesATokenThatMovesAndThenSaysFalse() public {
        token.setMood(ODD, OddToken.Mood.MovesAndReturnsFalse);
        // Moved at the first attempt and at the second: six, beside the two of Bob's.
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.UnaccountedOutflow.selector, 2, 8),
            address(token),
            _rows(ODD, 3, BOB, 2)
        );
    }

    function testRefusesATokenThatBeganToTakeAFeeFromTheVault() public {
        token.setMood(ODD, OddToken.Mood.TakesFeeFromSender);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.UnaccountedOutflow.selector, 5, 6),
            address(token),
            _rows(ODD, 3, BOB, 2)
        );
    }

    function testRefusesWhatItDoesNotHold() public {
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.InsufficientInventory.selector, 1, 2, 1),
            address(token),
            _rows(ALICE, 999, BOB, 2)
        );
        vm.deal(address(vault), 5);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.InsufficientInventory.selector, 1, 3, 2),
            NATIVE,
            _rows(ALICE, 3, BOB, 3)
        );
    }

    function testRefusesToBlameRecipientsForATokenThatIsStopped() public {
        token.setMood(ALICE, OddToken.Mood.Reverts);
        token.setMood(address(vault), OddToken.Mood.Reverts);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.AssetUnavailable.selector, 1),
            address(token),
            _rows(BOB, 2, ALICE, 3)
        );
    }

    function testRefusesATokenWhoseCodeIsGone() public {
        token.setMute(true);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.BalanceUnknown.selector, address(token)),
            address(token),
            _row(ALICE, 1)
        );
    }

    /// @dev Whatever the gas, nobody is skipped who would have been paid with more of it. The row is the
    /// last one: what remains after its failure would be enough to record a skip.
    function testNeverSkipsForWantOfGas() public {
        Picky picky = new Picky(49_000);
        vm.deal(address(vault), 1_000);
        uint256 paid;
        for (uint256 gas = 60_000; gas < 180_000; gas += 500) {
            vm.prank(SETTLER);
            (bool done,) = address(vault).call{gas: gas}(
                abi.encodeCall(IVault.payBatch, (gas, ROOT, NATIVE, 32, _row(address(picky), 1)))
            );
            if (done) ++paid;
            _check(vault.skippedRows(gas, 0) == 0, "nobody is skipped");
            _check((vault.batchRoot(gas) == ROOT) == done, "a batch that failed leaves no trace");
        }
        _check(paid > 0 && paid < 240, "some have too little gas, and some enough");
        _check(address(picky).balance == paid, "all or nothing");
    }

    function testRefusesToReenterThroughAToken() public {
        _announce(abi.encodeCall(IVault.setSettler, (address(token), true)));
        vault.setSettler(address(token), true);
        token.setReentrantCall(_secondBatch(address(token)));
        token.setMood(ODD, OddToken.Mood.Reenters);
        _pay(1, address(token), _rows(ODD, 3, BOB, 2));
        _check(token.reentrancyRefused(), "the second batch must be refused");
        _check(vault.batchRoot(2) == bytes32(0), "and leave no trace");
    }

    function testRefusesToReenterThroughANativeRecipient() public {
        vm.deal(address(vault), 100);
        ReentrantRecipient recipient = new ReentrantRecipient(_secondBatch(NATIVE));
        _announce(abi.encodeCall(IVault.setSettler, (address(recipient), true)));
        vault.setSettler(address(recipient), true);
        _pay(1, NATIVE, _rows(address(recipient), 3, BOB, 2));
        _check(recipient.refused(), "the second batch must be refused");
        _check(vault.batchRoot(2) == bytes32(0), "and leave no trace");
        _check(address(vault).balance == 95, "one batch went out");
    }

    function testRefusesToConfirmAReceiptInTheMiddleOfABatch() public {
        bytes32[] memory proof;
        token.setReentrantCall(
            abi.encodeCall(IVault.verifyReceipt, (1, 0, ROOT, ODD, address(token), 3, proof))
        );
        token.setMood(ODD, OddToken.Mood.Reenters);
        _pay(1, address(token), _rows(ODD, 3, BOB, 2));
        _check(token.reentrancyRefused(), "a later row's skip is not written yet");
    }

    /* SKIPS */

    function testSkipsWhateverIsNoCleanYes() public {
        OddToken.Mood[4] memory moods = [
            OddToken.Mood.ReturnsFalse,
            OddToken.Mood.ReturnsTwo,
            OddToken.Mood.Reverts,
            OddToken.Mood.BurnsAllGas
        ];
        for (uint256 i; i < moods.length; ++i) {
            token.setMood(ODD, moods[i]);
            vm.expectEmit(true, true, true, true, address(vault));
            emit IVault.PayoutSkipped(i, 1);
            vm.expectEmit(true, true, true, true, address(vault));
            emit IVault.BatchPaid(i, ROOT, address(token), 2, 1);
            // The good answer comes first: what it left in memory must not vouch for the second.
            _pay(i, address(token), _rows(BOB, 2, ODD, 3));
            _check(vault.skippedRows(i, 0) == 2, "the second row's bit");
        }
        _check(token.balanceOf(BOB) == 2 * moods.length, "the others are paid each time");
        _check(token.balanceOf(ODD) == 0, "a skipped row moves nothing");
    }

    function testSkipsNativeRowsToNobodyAndToItself() public {
        vm.deal(address(vault), 10);
        _pay(1, NATIVE, bytes.concat(_rows(NATIVE, 1, ALICE, 2), _row(address(vault), 3)));
        _check(vault.skippedRows(1, 0) == 5, "first and last");
        _check(address(vault).balance == 8, "only Alice is paid");
    }

    /// @dev A hundred times the same word, some of them skipped: each bit is where it belongs.
    function testMarksEveryRowSkippedAndNoOther(uint256 seed) public {
        token.setMood(ODD, OddToken.Mood.Reverts);
        bytes memory rows;
        uint256 count = 250 + seed % 20;
        for (uint256 i; i < count; ++i) {
            bool bad = uint256(keccak256(abi.encode(seed, i))) % 16 == 0;
            rows = bytes.concat(rows, _row(bad ? ODD : BOB, 1));
        }
        _pay(1, address(token), rows);
        uint256 paid;
        for (uint256 i; i < count; ++i) {
            bool bad = uint256(keccak256(abi.encode(seed, i))) % 16 == 0;
            _check((vault.skippedRows(1, i / 256) >> (i % 256) & 1 == 1) == bad, "the row's bit");
            if (!bad) ++paid;
        }
        _check(token.balanceOf(BOB) == paid, "all others are paid");
    }

    /* PAYMENTS */

    function testPaysTokensThatReturnNothingOrTooMuch() public {
        token.setMood(ODD, OddToken.Mood.ReturnsNothing);
        token.setMood(ALICE, OddToken.Mood.FloodsReturnData);
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.BatchPaid(1, ROOT, address(token), 5, 0);
        _pay(1, address(token), _rows(ODD, 3, ALICE, 2));
    }

    function testPaysAtTheSecondAttemptOnce() public {
        token.setMood(ODD, OddToken.Mood.RefusesOnce);
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.BatchPaid(1, ROOT, address(token), 5, 0);
        _pay(1, address(token), _rows(ODD, 3, BOB, 2));
        _check(token.balanceOf(ODD) == 3 && token.balanceOf(BOB) == 2, "both, and once");
    }

    function testIsNotStoppedByARecipientThatGivesBack() public {
        token.setMood(ODD, OddToken.Mood.SendsBack);
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.BatchPaid(1, ROOT, address(token), 5, 0);
        _pay(1, address(token), _rows(ODD, 3, BOB, 2));
    }

    /// @dev Any number of rows, of any width: each recipient gets its amount, and the vault loses the sum.
    function testPaysExactlyWhatTheRowsSay(uint256 seed, uint8 count, uint8 width) public {
        count = count % 40 + 1;
        width = width % 14 + 1;
        bytes memory rows;
        uint256[] memory amounts = new uint256[](count);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            amounts[i] = uint256(keccak256(abi.encode(seed, i))) >> (256 - 8 * uint256(width));
            amounts[i] %= LIMIT / 100;
            sum += amounts[i];
            rows = bytes.concat(rows, bytes20(_wallet(i)), _low(amounts[i], width));
        }
        token.mint(address(vault), sum);
        vm.prank(SETTLER);
        vault.payBatch(1, ROOT, address(token), 20 + uint256(width), rows);
        for (uint256 i; i < count; ++i) {
            _check(token.balanceOf(_wallet(i)) == amounts[i], "recipient");
        }
        _check(token.balanceOf(address(vault)) == 1_000, "vault");
    }

    /// @dev What lies behind the rows in calldata is nobody's payout.
    function testPaysNothingBehindTheRows(uint8 count) public {
        count = count % 20 + 1;
        bytes memory rows;
        for (uint256 i; i < count; ++i) rows = bytes.concat(rows, _row(_wallet(i), 1));
        bytes memory data =
            abi.encodeCall(IVault.payBatch, (1, ROOT, address(token), 32, rows));
        for (uint256 i; i < 16; ++i) data = bytes.concat(data, _row(ODD, 1));
        vm.prank(SETTLER);
        (bool done,) = address(vault).call(data);
        _check(done && token.balanceOf(ODD) == 0, "only the rows are paid");
        _check(token.balanceOf(address(vault)) == 1_000 - uint256(count), "and each of them once");
    }

    function testNeverLosesMoreThanItReports(uint8[8] calldata moods, uint8[8] calldata amounts)
        public
    {
        bytes memory rows;
        for (uint256 i; i < 8; ++i) {
            token.setMood(_wallet(i), _fairMood(moods[i]));
            rows = bytes.concat(rows, _row(_wallet(i), amounts[i]));
        }
        token.mint(address(vault), 8 * 255);
        uint256 before = token.balanceOf(address(vault));
        _pay(1, address(token), rows);
        uint256 received;
        for (uint256 i; i < 8; ++i) received += token.balanceOf(_wallet(i));
        _check(before - token.balanceOf(address(vault)) == received, "conservation");
    }

    /* RECEIPTS */

    /// @dev Two rows are enough of a tree: any other order, row, recipient, asset or amount is refused.
    function testConfirmsTheReceiptOfAPaidRowAlone(uint96 amount, bytes32 order) public {
        amount = amount % 500 + 1;
        token.setMood(ODD, OddToken.Mood.Reverts);
        bytes32 paid = _leaf(0, order, ALICE, amount);
        bytes32 skipped = _leaf(1, order, ODD, amount);
        bytes32 root = paid < skipped
            ? keccak256(bytes.concat(paid, skipped))
            : keccak256(bytes.concat(skipped, paid));
        vm.prank(SETTLER);
        vault.payBatch(7, root, address(token), 32, _rows(ALICE, amount, ODD, amount));

        _check(_verify(7, 0, order, ALICE, amount, skipped), "the paid row");
        _check(!_verify(7, 1, order, ODD, amount, paid), "the skipped row");
        _check(!_verify(7, 0, order, ODD, amount, paid), "the skipped row as another");
        _check(!_verify(7, 2, order, ALICE, amount, skipped), "the paid row under another index");
        _check(!_verify(7, 2, order, ODD, amount, paid), "the skipped row under a third");
        _check(!_verify(8, 0, order, ALICE, amount, skipped), "another batch");
        _check(!_verify(7, 0, order, ALICE, uint256(amount) + 1, skipped), "another amount");
        _check(!_verify(7, 0, ~order, ALICE, amount, skipped), "another order");
        _check(!_verify(7, 0, order, BOB, amount, skipped), "another recipient");
    }

    function testConfirmsNothingOfABatchNeverPaid(bytes32 order) public view {
        bytes32[] memory proof;
        _check(
            !vault.verifyReceipt(9, 0, order, ALICE, address(token), 1, proof), "a zero root proves nothing"
        );
    }

    /* HELPERS */

    /// @dev One of those that move what they say, or nothing.
    function _fairMood(uint8 pick) internal pure returns (OddToken.Mood) {
        OddToken.Mood mood = OddToken.Mood(pick % 8);
        return mood == OddToken.Mood.ReturnsOneByte ? OddToken.Mood.RefusesOnce : mood;
    }

    function _verify(
        uint256 batchId,
        uint256 index,
        bytes32 order,
        address to,
        uint256 amount,
        bytes32 sibling
    ) internal view returns (bool) {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = sibling;
        return vault.verifyReceipt(batchId, index, order, to, address(token), amount, proof);
    }

    function _leaf(uint256 index, bytes32 order, address to, uint256 amount)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(keccak256(abi.encode(index, order, to, address(token), amount)))
        );
    }

    function _secondBatch(address asset) internal pure returns (bytes memory) {
        return abi.encodeCall(IVault.payBatch, (2, ROOT, asset, 32, _rows(ALICE, 1, BOB, 1)));
    }

    function _wallet(uint256 i) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("wallet", i)))));
    }

    /// @dev The low `width` bytes of `amount`.
    function _low(uint256 amount, uint256 width) internal pure returns (bytes memory low) {
        low = new bytes(width);
        for (uint256 i; i < width; ++i) low[i] = bytes1(uint8(amount >> (8 * (width - 1 - i))));
    }
}
