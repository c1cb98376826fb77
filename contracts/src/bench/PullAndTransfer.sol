// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title PullAndTransfer
/// @notice What most would write first: pull the sum from the caller, then transfer row by row. The
/// figure beside which the vault's is shown; no guards, for benchmarks alone.
contract PullAndTransfer {
    error Failed();

    function payToken(IERC20 token, address[] calldata recipients, uint256[] calldata amounts)
        external
    {
        uint256 total;
        for (uint256 i; i < recipients.length; ++i) total += amounts[i];
        if (!token.transferFrom(msg.sender, address(this), total)) revert Failed();
        for (uint256 i; i < recipients.length; ++i) {
            if (!token.transfer(recipients[i], amounts[i])) revert Failed();
        }
    }

    function payNative(address[] calldata recipients, uint256[] calldata amounts) external payable {
        for (uint256 i; i < recipients.length; ++i) {
            (bool paid,) = recipients[i].call{value: amounts[i]}("");
            if (!paid) revert Failed();
        }
    }
}
