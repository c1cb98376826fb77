// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {IVault} from "../src/interfaces/IVault.sol";
import {ErrorsLib} from "../src/libraries/ErrorsLib.sol";
import {Base} from "./Base.sol";
import {OddToken, ReentrantRecipient} from "./OddTokens.sol";

/// @notice What each role may do, and how long the owner has to wait for what it may do.
contract RolesTest is Base {
    /* REFUSALS */

    function testRefusesEverybodyButTheOwner(address stranger) public {
        vm.assume(stranger != address(this));
        bytes[8] memory calls = [
            abi.encodeCall(IVault.announce, ("x")),
            abi.encodeCall(IVault.listAsset, (address(token), 1, 1)),
            abi.encodeCall(IVault.setLimit, (address(token), 0)),
            abi.encodeCall(IVault.setSettler, (SETTLER, false)),
            abi.encodeCall(IVault.setPauser, (stranger)),
            abi.encodeCall(IVault.setTreasury, (stranger)),
            abi.encodeCall(IVault.withdraw, (address(token), 1)),
            abi.encodeCall(IVault.unpause, ())
        ];
        for (uint256 i; i < calls.length; ++i) {
            // Announced calls too: knowing what was announced gives nobody the right to make it.
            vault.announce(calls[i]);
        }
        vm.warp(vm.getBlockTimestamp() + vault.DELAY());
        for (uint256 i; i < calls.length; ++i) {
            vm.prank(stranger);
            (bool done, bytes memory answer) = address(vault).call(calls[i]);
            _check(!done, "refused");
            _check(bytes4(answer) == Ownable.OwnableUnauthorizedAccount.selector, "for the caller");
        }
    }

    function testLetsOnlyPauserAndOwnerPauseAndRevoke(address stranger) public {
        vm.assume(stranger != address(this) && stranger != PAUSER);
        bytes memory refusal = abi.encodeWithSelector(ErrorsLib.NotPauser.selector, stranger);
        vm.prank(stranger);
        vm.expectRevert(refusal);
        vault.pause();
        vm.prank(stranger);
        vm.expectRevert(refusal);
        vault.revoke("x");
    }

    function testRefusesToMakeAnyAnnouncedCallUnannouncedTooEarlyOrTooLate() public {
        bytes[4] memory calls = [
            abi.encodeCall(IVault.setSettler, (ALICE, true)),
            abi.encodeCall(IVault.setPauser, (ALICE)),
            abi.encodeCall(IVault.setTreasury, (ALICE)),
            abi.encodeCall(IVault.withdraw, (address(token), 1))
        ];
        for (uint256 i; i < calls.length; ++i) {
            _refuses(calls[i], ErrorsLib.NotAnnounced.selector);
            uint256 now_ = vm.getBlockTimestamp();
            vault.announce(calls[i]);
            vm.warp(now_ + vault.DELAY() - 1);
            _refuses(calls[i], ErrorsLib.TooEarly.selector);
            vm.warp(now_ + vault.DELAY() + vault.GRACE() + 1);
            _refuses(calls[i], ErrorsLib.AnnouncementExpired.selector);
            vm.warp(now_ + vault.DELAY() + vault.GRACE());
            (bool done,) = address(vault).call(calls[i]);
            _check(done, "made in its last moment");
            _refuses(calls[i], ErrorsLib.NotAnnounced.selector);
        }
    }

    function testRefusesAnotherCallThanTheOneAnnounced() public {
        _announce(abi.encodeCall(IVault.withdraw, (address(token), 1)));
        _refuses(
            abi.encodeCall(IVault.withdraw, (address(token), 2)), ErrorsLib.NotAnnounced.selector
        );
    }

    function testRefusesWhatWasRevoked() public {
        bytes memory call_ = abi.encodeCall(IVault.withdraw, (address(token), 1));
        _announce(call_);
        vm.prank(PAUSER);
        vault.revoke(call_);
        _refuses(call_, ErrorsLib.NotAnnounced.selector);
        _refuses(abi.encodeCall(IVault.revoke, (call_)), ErrorsLib.NotAnnounced.selector);
    }

    function testRefusesThePauserThatWouldRevokeItsOwnReplacement() public {
        bytes memory call_ = abi.encodeCall(IVault.setPauser, (ALICE));
        vault.announce(call_);
        vm.prank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotForPauser.selector));
        vault.revoke(call_);
        vault.revoke(call_);
    }

    function testRefusesToWithdrawWhilePaused() public {
        bytes memory call_ = abi.encodeCall(IVault.withdraw, (address(token), 1));
        _announce(call_);
        vm.prank(PAUSER);
        vault.pause();
        _refuses(call_, Pausable.EnforcedPause.selector);
        vault.unpause();
        (bool done,) = address(vault).call(call_);
        _check(done, "the announcement outlives the pause");
    }

    function testRefusesToWithdrawWhatATokenDoesNotGive() public {
        token.setMood(TREASURY, OddToken.Mood.ReturnsFalse);
        bytes memory call_ = abi.encodeCall(IVault.withdraw, (address(token), 1));
        _announce(call_);
        (bool done,) = address(vault).call(call_);
        _check(!done && vault.executableAt(keccak256(call_)) != 0, "refused, and still announced");
    }

    function testRefusesToReenterWhileItWithdraws() public {
        vm.deal(address(vault), 10);
        ReentrantRecipient thief = new ReentrantRecipient(
            abi.encodeCall(IVault.payBatch, (2, ROOT, NATIVE, 32, _row(ALICE, 1)))
        );
        _announce(abi.encodeCall(IVault.setSettler, (address(thief), true)));
        vault.setSettler(address(thief), true);
        _announce(abi.encodeCall(IVault.setTreasury, (address(thief))));
        vault.setTreasury(address(thief));
        _announce(abi.encodeCall(IVault.withdraw, (NATIVE, 4)));
        vault.withdraw(NATIVE, 4);
        _check(thief.refused() && address(vault).balance == 6, "once, and nothing beside it");
    }

    function testRefusesAccountsThatCannotBeMeant() public {
        address[] memory nobody = new address[](1);
        bytes memory zero =
            abi.encodeWithSelector(ErrorsLib.InvalidAccount.selector, address(0));
        vm.expectRevert(zero);
        _newVault(address(0), new address[](0));
        vm.expectRevert(zero);
        _newVault(TREASURY, nobody);
        bytes memory call_ = abi.encodeCall(IVault.setTreasury, (address(vault)));
        _announce(call_);
        _refuses(call_, ErrorsLib.InvalidAccount.selector);
    }

    function testRefusesToLoseItsOwner() public {
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.OwnershipCannotBeRenounced.selector));
        vault.renounceOwnership();
        vault.transferOwnership(ALICE);
        _check(vault.owner() == address(this), "offered, and not yet taken");
        vm.prank(ALICE);
        vault.acceptOwnership();
        _check(vault.owner() == ALICE, "taken");
    }

    /* WHAT WORKS AT ONCE, AND WHAT WORKS IN TIME */

    function testDismissesASettlerAtOnce() public {
        vault.setSettler(SETTLER, false);
        _refusesToPay(
            abi.encodeWithSelector(ErrorsLib.NotSettler.selector, SETTLER),
            address(token),
            _row(ALICE, 1)
        );
    }

    function testWithdrawsToTheTreasuryOfThatMoment() public {
        vm.deal(address(vault), 10);
        _announce(abi.encodeCall(IVault.withdraw, (address(token), 400)));
        vm.expectEmit(true, true, true, true, address(vault));
        emit IVault.Withdrawn(address(token), TREASURY, 400);
        vault.withdraw(address(token), 400);
        _announce(abi.encodeCall(IVault.setTreasury, (ALICE)));
        vault.setTreasury(ALICE);
        _announce(abi.encodeCall(IVault.withdraw, (NATIVE, 7)));
        vault.withdraw(NATIVE, 7);
        _check(token.balanceOf(TREASURY) == 400 && ALICE.balance == 7, "where it should");
    }

    function testReplacesAPauserThatKeepsPausing() public {
        vault.announce(abi.encodeCall(IVault.setPauser, (ALICE)));
        vm.prank(PAUSER);
        vault.pause();
        vm.warp(vm.getBlockTimestamp() + vault.DELAY());
        vault.setPauser(ALICE);
        vault.unpause();
        vm.prank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(ErrorsLib.NotPauser.selector, PAUSER));
        vault.pause();
    }

    function testAnnouncingAgainStartsTheWaitAgain() public {
        bytes memory call_ = abi.encodeCall(IVault.withdraw, (address(token), 1));
        _announce(call_);
        vault.announce(call_);
        _refuses(call_, ErrorsLib.TooEarly.selector);
    }

    function _refuses(bytes memory call_, bytes4 selector) internal {
        (bool done, bytes memory answer) = address(vault).call(call_);
        _check(!done && bytes4(answer) == selector, "refused for that reason");
    }
}
