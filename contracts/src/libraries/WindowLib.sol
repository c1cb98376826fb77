// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IVault} from "../interfaces/IVault.sol";
import {ErrorsLib} from "./ErrorsLib.sol";

/// @title WindowLib
/// @notice A leaky bucket that keeps the sum of any {SPAN} under its limit, wherever the span begins.
/// @dev The bucket holds half the limit and drains the other half per span. Whoever finds it empty
/// spends one half at once and the second as it drains: the limit, and never more. A bucket of the
/// full size would let twice the limit through in one span, and so does a window with fixed borders.
library WindowLib {
    /// @notice What a limit is about, in seconds.
    uint256 internal constant SPAN = 1 days;

    /// @notice How much may be spent now.
    function left(IVault.Window storage window) internal view returns (uint256) {
        uint256 size = window.limit - window.limit / 2;
        uint256 filled = level(window);
        return filled < size ? size - filled : 0;
    }

    /// @notice What was spent and has not drained. Rounds up: a part of a unit has not drained yet.
    function level(IVault.Window storage window) internal view returns (uint256) {
        uint256 elapsed;
        unchecked {
            // Modulo 2^32, so that a clock beyond 2106 still measures what has passed.
            elapsed = uint32(uint32(block.timestamp) - window.updatedAt);
        }
        uint256 drained = uint256(window.limit / 2) * elapsed / SPAN;
        return window.level > drained ? window.level - drained : 0;
    }

    /// @notice Fills the bucket by `amount`, or reverts when it does not fit.
    function spend(IVault.Window storage window, address asset, uint256 amount) internal {
        uint256 room = left(window);
        if (amount > room) revert ErrorsLib.WindowExceeded(asset, amount, room);
        write(window, window.limit, level(window) + amount);
    }

    /// @notice Changes the limit; what has drained until now drained under the old one.
    function resize(IVault.Window storage window, uint112 limit) internal {
        write(window, limit, level(window));
    }

    function write(IVault.Window storage window, uint112 limit, uint256 newLevel) private {
        // A level is at most a bucket's size, which fits: the casts lose nothing.
        window.limit = limit;
        window.level = uint112(newLevel);
        window.updatedAt = uint32(block.timestamp);
    }
}
