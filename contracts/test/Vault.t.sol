// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IVault} from "../src/interfaces/IVault.sol";
import {ErrorsLib} from "../src/libraries/ErrorsLib.sol";
import {Vault} from "../src/Vault.sol";
import {OddToken, ReentrantRecipient} from "./OddTokens.sol";

/// @dev The few of forge's cheatcodes that are used here; npm has no official forge-std.
interface Vm {
    function prank(address sender) external;
    function deal(address account, uint256 amount) external;
    function expectRevert(bytes calldata revertData) external;
    function expectEmit(bool, bool, bool, bool, address emitter) external;
    function assume(bool condition) external pure;
}

/// @notice What the Python tests on a real chain do not reach: tokens that misbehave, and fuzzing.
contract VaultTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bytes32 internal constant ROOT = keccak256("root");
    address internal constant SETTLER = address(0x5e771e);
    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0b);
    address internal constant ODD = address(0x0dd);

    Vault internal vault;
    OddToken internal token;

    error Failed(string what);

    function setUp() public {
        vault = new Vault(address(this), address(0));
        vault.setSettler(SETTLER, true);
        token = new OddToken();
        token.mint(address(vault), 1_000);
    }

    /* REFUSALS */

    function testRefusesStrangersWhateverTheyAre(address stranger) public {
        vm.assume(stranger != SETTLER);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotSettler.selector, stranger));
        vault.payBatch(1, ROOT, address(token), _rows(ALICE, 1, BOB, 1));
    }

    function testRefusesAnyBatchIdTwice(uint256 batchId, bytes32 secondRoot) public {
        vm.assume(secondRoot != bytes32(0));
        _pay(batchId, address(token), _rows(ALICE, 1, BOB, 1));
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.BatchAlreadyPaid.selector, batchId));
        vault.payBatch(batchId, secondRoot, address(token), _rows(ALICE, 1, BOB, 1));
    }

    function testRefusesATokenThatMovesAndThenSaysFalse() public {
        token.setMood(ODD, OddToken.Mood.MovesAndReturnsFalse);
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.UnaccountedOutflow.selector, 2, 5));
        vault.payBatch(1, ROOT, address(token), _rows(ODD, 3, BOB, 2));
    }

    function testRefusesATokenThatTakesAFeeFromTheVault() public {
        token.setMood(ODD, OddToken.Mood.TakesFeeFromSender);
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.UnaccountedOutflow.selector, 5, 6));
        vault.payBatch(1, ROOT, address(token), _rows(ODD, 3, BOB, 2));
    }

    function testRefusesToReenterThroughAToken() public {
        vault.setSettler(address(token), true);
        token.setReentrantCall(_secondBatch(address(token)));
        token.setMood(ODD, OddToken.Mood.Reenters);
        _pay(1, address(token), _rows(ODD, 3, BOB, 2));
        _checkSecondBatchRefused(token.reentrancyRefused());
        vault.withdraw(address(token), ODD, 1);
        _checkSecondBatchRefused(token.reentrancyRefused());
    }

    function testRefusesToReenterThroughANativeRecipient() public {
        vm.deal(address(vault), 100);
        ReentrantRecipient recipient = new ReentrantRecipient(_secondBatch(address(0)));
        vault.setSettler(address(recipient), true);
        _pay(1, address(0), _rows(address(recipient), 3, BOB, 2));
        _checkSecondBatchRefused(recipient.refused());
        // Here the recipient has all the gas it could wish for.
        vault.withdraw(address(0), address(recipient), 1);
        _checkSecondBatchRefused(recipient.refused());
        _check(address(vault).balance == 94, "one batch and one withdrawal");
    }

    /* SKIPS */

    function testSkipsWhateverIsNoCleanYes() public {
        OddToken.Mood[5] memory moods = [
            OddToken.Mood.ReturnsFalse,
            OddToken.Mood.ReturnsTwo,
            OddToken.Mood.ReturnsOneByte,
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
        }
        _check(token.balanceOf(BOB) == 2 * moods.length, "the others are paid each time");
        _check(token.balanceOf(ODD) == 0, "a skipped row moves nothing");
    }

    function testSkipsTheZeroAddressOfATokenThatWouldBurn() public {
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.PayoutSkipped(1, 0);
        _pay(1, address(token), _rows(address(0), 3, BOB, 2));
        _check(token.balanceOf(address(vault)) == 998, "nothing is burnt");
    }

    /* PAYMENTS */

    function testPaysTokensThatReturnNothingOrTooMuch() public {
        token.setMood(ODD, OddToken.Mood.ReturnsNothing);
        token.setMood(ALICE, OddToken.Mood.FloodsReturnData);
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.BatchPaid(1, ROOT, address(token), 5, 0);
        _pay(1, address(token), _rows(ODD, 3, ALICE, 2));
    }

    function testPaysExactlyWhatTheWordsSay(address to, uint96 amount) public {
        vm.assume(to != address(0) && to != address(vault) && to != address(token));
        vm.assume(to != BOB && amount != 0);
        token.mint(address(vault), uint256(amount) + 1);
        uint256 before = token.balanceOf(address(vault));
        _pay(1, address(token), _rows(to, amount, BOB, 1));
        _check(token.balanceOf(to) == amount, "recipient");
        _check(token.balanceOf(BOB) == 1, "the row after it");
        _check(before - token.balanceOf(address(vault)) == uint256(amount) + 1, "vault");
    }

    function testNeverLosesMoreThanItReports(uint8[8] calldata moods, uint8[8] calldata amounts)
        public
    {
        uint256[] memory rows = new uint256[](8);
        for (uint256 i; i < 8; ++i) {
            address to = address(uint160(0x1000 + i));
            token.setMood(to, OddToken.Mood(moods[i] % 8));
            rows[i] = uint256(uint160(to)) << 96 | amounts[i];
        }
        token.mint(address(vault), 8 * 255);
        uint256 before = token.balanceOf(address(vault));
        _pay(1, address(token), rows);
        uint256 received;
        for (uint256 i; i < 8; ++i) received += token.balanceOf(address(uint160(0x1000 + i)));
        _check(before - token.balanceOf(address(vault)) == received, "conservation");
    }

    /* HELPERS */

    function _pay(uint256 batchId, address asset, uint256[] memory rows) internal {
        vm.prank(SETTLER);
        vault.payBatch(batchId, ROOT, asset, rows);
    }

    function _secondBatch(address asset) internal pure returns (bytes memory) {
        return abi.encodeCall(IVault.payBatch, (2, ROOT, asset, _rows(ALICE, 1, BOB, 1)));
    }

    function _checkSecondBatchRefused(bool refused) internal view {
        _check(refused, "the second batch must be refused");
        _check(vault.batchRoot(2) == bytes32(0), "and leave no trace");
    }

    function _rows(address first, uint256 firstAmount, address second, uint256 secondAmount)
        internal
        pure
        returns (uint256[] memory rows)
    {
        rows = new uint256[](2);
        rows[0] = uint256(uint160(first)) << 96 | firstAmount;
        rows[1] = uint256(uint160(second)) << 96 | secondAmount;
    }

    function _check(bool holds, string memory what) internal pure {
        if (!holds) revert Failed(what);
    }
}
