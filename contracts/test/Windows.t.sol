// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IVault} from "../src/interfaces/IVault.sol";
import {ErrorsLib} from "../src/libraries/ErrorsLib.sol";
import {Base} from "./Base.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice What may be listed, and that no key spends more of it than its window lets through.
contract WindowsTest is Base {
    OddToken internal other;

    function setUp() public override {
        super.setUp();
        other = new OddToken();
        other.mint(address(this), 1_000);
    }

    /* LISTING */

    function testListsNothingWithoutCode(address asset) public {
        vm.assume(asset != NATIVE && asset.code.length == 0);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.AssetWithoutCode.selector, asset));
        vault.listAsset(asset, 1, 1);
    }

    function testListsNothingUnderAZeroLimitOrUntried() public {
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.ZeroLimit.selector));
        vault.listAsset(address(other), 0, 1);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.ZeroProbe.selector));
        vault.listAsset(address(other), 1, 0);
    }

    function testListsNothingTwiceNotEvenWhenDelisted() public {
        vault.setLimit(address(token), 0);
        vm.expectRevert(
            abi.encodeWithSelector(ErrorsLib.AssetAlreadyListed.selector, address(token))
        );
        vault.listAsset(address(token), LIMIT, 1);
    }

    function testListsNoTokenThatTakesAFee() public {
        bytes memory refusal =
            abi.encodeWithSelector(ErrorsLib.TransferNotExact.selector, address(other));
        other.mint(address(vault), 10);
        other.setMood(address(vault), OddToken.Mood.TakesFeeFromRecipient);
        vm.expectRevert(refusal);
        vault.listAsset(address(other), 1, 100);
        other.setMood(address(vault), OddToken.Mood.TakesFeeFromSender);
        vm.expectRevert(refusal);
        vault.listAsset(address(other), 1, 100);
        other.setMood(address(vault), OddToken.Mood.ReturnsTrue);
        other.setMood(address(this), OddToken.Mood.TakesFeeFromRecipient);
        vm.expectRevert(refusal);
        vault.listAsset(address(other), 1, 100);
    }

    function testListsNoTokenThatLies() public {
        other.setMood(address(this), OddToken.Mood.LiesThatItMoved);
        vm.expectRevert(
            abi.encodeWithSelector(ErrorsLib.TransferNotExact.selector, address(other))
        );
        vault.listAsset(address(other), 1, 100);
    }

    function testListsNoTokenWhoseAnswerIsNone() public {
        OddToken.Mood[3] memory moods = [
            OddToken.Mood.ReturnsFalse, OddToken.Mood.ReturnsTwo, OddToken.Mood.ReturnsOneByte
        ];
        for (uint256 i; i < moods.length; ++i) {
            other.setMood(address(this), moods[i]);
            vm.expectRevert();
            vault.listAsset(address(other), 1, 100);
        }
    }

    function testListsATokenThatReturnsNothingAndKeepsNoneOfIt() public {
        other.setMood(address(this), OddToken.Mood.ReturnsNothing);
        vault.listAsset(address(other), 1, 100);
        _check(other.balanceOf(address(this)) == 1_000, "the probe comes back");
    }

    /* WINDOW */

    function testRefusesMoreThanHalfTheLimitAtOnce(uint96 limit) public {
        vm.assume(limit != 0);
        vault.setLimit(address(token), limit);
        uint256 room = limit - limit / 2;
        token.mint(address(vault), LIMIT);
        _refusesToPay(
            abi.encodeWithSelector(
                ErrorsLib.WindowExceeded.selector, address(token), room + 1, room
            ),
            address(token),
            _row(ALICE, room + 1)
        );
        _pay(1, address(token), _row(ALICE, room));
        _check(vault.available(address(token)) == 0, "and then nothing");
    }

    function testCountsWhatWasPaidAndNotWhatWasSkipped() public {
        token.setMood(ODD, OddToken.Mood.Reverts);
        vault.setLimit(address(token), 20);
        _pay(1, address(token), _rows(ODD, 30, ALICE, 4));
        _check(vault.available(address(token)) == 6, "four of ten");
    }

    function testLeavesOtherAssetsTheirOwnWindow() public {
        vault.setLimit(address(token), 20);
        _pay(1, address(token), _row(ALICE, 10));
        vm.deal(address(vault), 10);
        _pay(2, NATIVE, _row(ALICE, 10));
    }

    /// @dev A thief takes all there is, as often as it likes, at moments of its choosing: in no span of
    /// a day does the sum exceed the limit. A fixed window lets twice as much through at its border.
    function testLetsNoMoreThanTheLimitThroughInAnyDay(uint256 seed, uint96 limit) public {
        vm.assume(limit > 1);
        vault.setLimit(address(token), limit);
        token.mint(address(vault), type(uint112).max);
        uint256[] memory times = new uint256[](24);
        uint256[] memory amounts = new uint256[](24);
        for (uint256 i; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            // Waits of every size: seconds, hours, almost a day, exactly a day.
            uint256 scale = [uint256(60), 7_200, 86_399, 86_401][seed % 4];
            vm.warp(vm.getBlockTimestamp() + (seed >> 8) % scale);
            times[i] = vm.getBlockTimestamp();
            amounts[i] = vault.available(address(token));
            if ((seed >> 128) % 4 == 0) amounts[i] /= 2;
            _pay(i, address(token), _row(ALICE, amounts[i]));
            uint256 sum;
            for (uint256 j; j <= i; ++j) {
                if (times[j] + vault.WINDOW() > vm.getBlockTimestamp()) sum += amounts[j];
            }
            _check(sum <= limit, "the limit of a day");
        }
    }

    function testDrainsOverADayToTheFullHalf() public {
        vault.setLimit(address(token), 200);
        _pay(1, address(token), _row(ALICE, 100));
        vm.warp(START + 1 days / 2);
        _check(vault.available(address(token)) == 50, "half of it in half a day");
        vm.warp(START + 1 days);
        _check(vault.available(address(token)) == 100, "all of it in a day");
        vm.warp(START + 30 days);
        _check(vault.available(address(token)) == 100, "and never more");
    }

    function testStillDrainsWhenTheClockPasses2106() public {
        vm.warp(2 ** 32 - 3_600);
        vault.setLimit(address(token), 2 * 86_400);
        token.mint(address(vault), 86_400);
        _pay(1, address(token), _row(ALICE, 86_400));
        vm.warp(2 ** 32 + 3_600);
        _check(vault.available(address(token)) == 7_200, "two hours have passed");
        token.mint(address(vault), 7_200);
        _pay(2, address(token), _row(ALICE, 7_200));
        _check(vault.available(address(token)) == 0, "and not 136 years");
    }

    function testALowerLimitWorksAtOnceAndAHigherOneAfterADay() public {
        vault.setLimit(address(token), 200);
        _pay(1, address(token), _row(ALICE, 100));
        vault.setLimit(address(token), 100);
        _check(vault.available(address(token)) == 0, "what was spent stays spent");
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotAnnounced.selector));
        vault.setLimit(address(token), 101);
        _setLimit(address(token), 400);
        // A day at the limit of 100 drained half of it, before the new limit.
        _check(vault.available(address(token)) == 150, "fifty of two hundred are still in it");
    }

    function testADelistedAssetIsNotPaidAndReturnsOnlyAnnounced() public {
        vault.setLimit(address(token), 0);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.AssetNotListed.selector, address(token)),
            address(token),
            _row(ALICE, 1)
        );
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotAnnounced.selector));
        vault.setLimit(address(token), 1);
    }

    function testSetsNoLimitForWhatWasNeverListed() public {
        vm.expectRevert(
            abi.encodeWithSelector(ErrorsLib.AssetNotListed.selector, address(other))
        );
        vault.setLimit(address(other), 0);
    }
}
