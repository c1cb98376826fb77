// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IVault} from "../src/interfaces/IVault.sol";
import {Base, IOwnedVault, Vm} from "./Base.sol";
import {OddToken} from "./OddTokens.sol";

/// @notice Everybody who ever touches a vault, in any order: settlers, thieves, the owner in haste, the
/// pauser, and a token of changing moods. It keeps its own books from what it sees.
contract Handler {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant BATCHES = 24;
    uint256 internal constant WALLETS = 6;

    IOwnedVault public immutable vault;
    OddToken public immutable token;
    address public immutable treasury;
    address[2] internal settlers;

    uint256 public minted;
    mapping(uint256 batchId => uint256) public timesPaid;
    string public broken;

    uint256[] internal times;
    uint256[] internal amounts;

    constructor(IOwnedVault vault_, OddToken token_, address treasury_, address[2] memory settlers_) {
        vault = vault_;
        token = token_;
        treasury = treasury_;
        settlers = settlers_;
    }

    /// @dev While the vault is paused nothing may leave it, and no action may leave it with less than
    /// the books say.
    modifier watched() {
        bool paused = vault.paused();
        uint256 held = token.balanceOf(address(vault));
        _;
        if (paused && token.balanceOf(address(vault)) < held) broken = "something left while paused";
    }

    /* ACTIONS */

    function stock(uint96 amount) external watched {
        token.mint(address(vault), amount);
        minted += amount;
    }

    function wait(uint32 seconds_) external watched {
        vm.warp(vm.getBlockTimestamp() + seconds_ % 100_000);
    }

    function changeMood(uint8 wallet, uint8 mood) external watched {
        // Listing refuses the one that returns a part of a word.
        if (mood % 11 == uint8(OddToken.Mood.ReturnsOneByte)) return;
        token.setMood(_wallet(wallet), OddToken.Mood(mood % 11));
    }

    function changeVaultsMood(uint8 mood) external watched {
        token.setMood(address(vault), mood % 4 == 0 ? OddToken.Mood.Reverts : OddToken.Mood.ReturnsTrue);
    }

    function pay(uint8 who, uint8 batchId, uint8 count, uint256 seed) external watched {
        _pay(settlers[who % 2], batchId, count, seed, vault.available(address(token)));
    }

    /// @dev A stolen key: everything that is left, to itself, again and again.
    function steal(uint8 who, uint8 batchId) external watched {
        uint256 loot = vault.available(address(token));
        uint256 held = token.balanceOf(address(vault));
        _pay(settlers[who % 2], batchId, 1, uint256(uint160(msg.sender)), loot < held ? loot : held);
    }

    function payAsAStranger(address stranger, uint8 batchId, uint256 seed) external watched {
        if (stranger == settlers[0] || stranger == settlers[1]) return;
        if (_pay(stranger, batchId, 2, seed, 100)) broken = "a stranger paid";
    }

    function pause() external watched {
        if (!vault.paused()) vault.pause();
    }

    function unpause() external watched {
        if (vault.paused()) vault.unpause();
    }

    /// @dev The owner tries without waiting, or waits properly.
    function withdraw(uint64 amount, bool waits) external watched {
        bytes memory call_ = abi.encodeCall(IVault.withdraw, (address(token), amount));
        uint256 before = token.balanceOf(treasury);
        uint256 at = vault.executableAt(keccak256(call_));
        if (waits && at == 0) {
            vault.announce(call_);
            at = vm.getBlockTimestamp() + vault.DELAY();
            vm.warp(at);
        }
        (bool done,) = address(vault).call(call_);
        if (done && (at == 0 || vm.getBlockTimestamp() < at)) broken = "a withdrawal was early";
        if (done && token.balanceOf(treasury) - before != amount) broken = "withdrawn elsewhere";
    }

    /* WHAT MUST HOLD */

    /// @dev Everything ever minted is at one of the places that it could have gone to.
    function accounted() external view returns (uint256 sum) {
        sum = token.balanceOf(address(vault)) + token.balanceOf(treasury);
        for (uint256 i; i < WALLETS; ++i) sum += token.balanceOf(_wallet(i));
    }

    function _pay(address who, uint8 batchId, uint8 count, uint256 seed, uint256 upTo)
        internal
        returns (bool done)
    {
        batchId = uint8(batchId % BATCHES);
        count = count % 12 + 1;
        bytes memory rows;
        for (uint256 i; i < count; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            uint256 amount = count == 1 ? upTo : draw % (upTo / count + 1);
            rows = bytes.concat(rows, bytes20(_wallet(draw >> 128)), bytes14(uint112(amount)));
        }
        token.setReentrantCall(
            abi.encodeCall(
                IVault.payBatch, (batchId + BATCHES, keccak256("again"), address(token), 34, rows)
            )
        );
        uint256 held = token.balanceOf(address(vault));
        vm.recordLogs();
        vm.prank(who);
        (done,) = address(vault).call(
            abi.encodeCall(
                IVault.payBatch, (batchId, keccak256("root"), address(token), 34, rows)
            )
        );
        if (done) _book(batchId, held - token.balanceOf(address(vault)));
    }

    function _book(uint256 batchId, uint256 lost) internal {
        ++timesPaid[batchId];
        (uint256 paid, uint256 skippedCount) = _reported();
        if (paid != lost) broken = "another sum was reported than was lost";
        if (_ones(vault.skippedRows(batchId, 0)) != skippedCount) broken = "bits and count differ";
        times.push(vm.getBlockTimestamp());
        amounts.push(lost);
        uint256 spent;
        for (uint256 i = times.length; i > 0 && times[i - 1] + vault.WINDOW() > vm.getBlockTimestamp(); --i) {
            spent += amounts[i - 1];
        }
        (uint112 limit,,) = vault.window(address(token));
        if (spent > limit) broken = "more than the limit in a window";
    }

    function _reported() internal returns (uint256 paid, uint256 skippedCount) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IVault.BatchPaid.selector) {
                (paid, skippedCount) = abi.decode(logs[i].data, (uint256, uint256));
            }
        }
    }

    function _ones(uint256 word) internal pure returns (uint256 count) {
        for (; word != 0; word &= word - 1) ++count;
    }

    function _wallet(uint256 i) internal pure returns (address) {
        return address(uint160(0xfade00 + i % WALLETS));
    }
}

/// @notice What no order of actions may break.
contract InvariantsTest is Base {
    uint112 internal constant SMALL_LIMIT = 1e9;
    Handler internal handler;

    function setUp() public override {
        vm.warp(START);
        address[] memory settlers = new address[](2);
        (settlers[0], settlers[1]) = (SETTLER, address(0x5e771e2));
        vault = _newVault(TREASURY, settlers);
        token = new OddToken();
        handler = new Handler(vault, token, TREASURY, [settlers[0], settlers[1]]);
        token.mint(address(this), 1_000);
        vault.listAsset(address(token), SMALL_LIMIT, 1_000);
        token.setMood(address(0), OddToken.Mood.Reverts);
        vault.transferOwnership(address(handler));
        vm.prank(address(handler));
        vault.acceptOwnership();
        handler.stock(1e9);
    }

    /// @dev forge asks for these by name.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariantNoBatchIsPaidTwice() public view {
        for (uint256 i; i < 24; ++i) {
            _check(handler.timesPaid(i) <= 1, "a batch was paid twice");
            _check((vault.batchRoot(i) != 0) == (handler.timesPaid(i) == 1), "and leaves its root");
            _check(vault.batchRoot(i + 24) == 0, "none was paid from within another");
        }
    }

    function invariantNoUnitIsCreatedOrLost() public view {
        _check(handler.accounted() == handler.minted(), "everything minted is somewhere");
    }

    function invariantNothingWasBroken() public view {
        _check(bytes(handler.broken()).length == 0, handler.broken());
    }
}
