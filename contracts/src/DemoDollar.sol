// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title DemoDollar
/// @notice The token that the demo sells: a dollar of six decimals without any worth. Like the large
/// stablecoins it has a block list, so that a payout that cannot be made can be shown.
contract DemoDollar is ERC20, Ownable {
    /// @notice `account` may hold and send the token no more, or again.
    event BlockedSet(address indexed account, bool blocked);

    /// @notice Thrown when the sender or the recipient of a transfer is blocked.
    error AccountBlocked(address account);

    /// @notice Whether `account` is on the block list.
    mapping(address account => bool) public isBlocked;

    constructor(address initialOwner)
        ERC20("Tidegate Demo Dollar", "DUSD")
        Ownable(initialOwner)
    {}

    /// @notice Six, as USDC and USDT have.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Makes `amount` new tokens for `to`. Owner only.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    /// @notice Puts `account` on the block list, or takes it off. Owner only.
    function setBlocked(address account, bool blocked) external onlyOwner {
        isBlocked[account] = blocked;
        emit BlockedSet(account, blocked);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (isBlocked[from]) revert AccountBlocked(from);
        if (isBlocked[to]) revert AccountBlocked(to);
        super._update(from, to, amount);
    }
}
