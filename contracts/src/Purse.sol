// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";

import {EscrowErrorsLib} from "./libraries/EscrowErrorsLib.sol";

/// @title Purse
/// @notice Holds the funds of one escrow, and pays for the contract that created it and nobody else.
/// @dev Deployed once; the purses themselves are its minimal proxies (ERC-1167), 45 bytes each, which
/// cannot be initialised, upgraded or destroyed. The immutable is in the code that they share.
contract Purse {
    using SafeERC20 for IERC20;

    address private immutable ESCROW = msg.sender;

    /// @notice Whatever arrives after the purse has code is taken, too.
    receive() external payable {}

    /// @notice Pays `amount` of `asset` to `to`, or reverts and has moved nothing, whatever the token
    /// answered.
    /// @dev That the purse holds so much less is what counts: a token that only says that it paid has not.
    function pay(address asset, address to, uint256 amount) external {
        if (msg.sender != ESCROW) revert EscrowErrorsLib.NotEscrow(msg.sender);
        uint256 held = _balance(asset);
        bool paid = asset == address(0)
            ? LowLevelCall.callNoReturn(to, amount, "")
            : IERC20(asset).trySafeTransfer(to, amount);
        if (!paid || held < amount || _balance(asset) > held - amount) {
            revert EscrowErrorsLib.NotPaid(asset, to, amount);
        }
    }

    function _balance(address asset) private view returns (uint256) {
        return asset == address(0) ? address(this).balance : IERC20(asset).balanceOf(address(this));
    }
}
