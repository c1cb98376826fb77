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
    function left(IVault.Window storage window) internal view returns (uint256 room) {
        (, room) = _now(window.limit, window.level, window.updatedAt);
    }

    /// @notice Fills the bucket by `amount`, or reverts when it does not fit.
    function spend(IVault.Window storage window, address asset, uint256 amount) internal {
        uint112 limit = window.limit;
        (uint256 level, uint256 room) = _now(limit, window.level, window.updatedAt);
        if (amount > room) revert ErrorsLib.WindowExceeded(asset, amount, room);
        unchecked {
            _write(window, limit, level + amount);
        }
    }

    /// @notice Changes the limit; what has drained until now drained under the old one.
    function resize(IVault.Window storage window, uint112 limit) internal {
        (uint256 level,) = _now(window.limit, window.level, window.updatedAt);
        _write(window, limit, level);
    }

    /// @dev The level now, and the room above it. What drains is rounded down. Nothing here can
    /// overflow: limits have 112 bits and times 32.
    function _now(uint256 limit, uint256 level, uint32 updatedAt)
        private
        view
        returns (uint256, uint256)
    {
        unchecked {
            uint256 half = limit / 2;
            // Modulo 2^32, so that a clock beyond 2106 still measures what has passed.
            uint256 drained = half * uint32(uint32(block.timestamp) - updatedAt) / SPAN;
            level = level > drained ? level - drained : 0;
            uint256 size = limit - half;
            return (level, level < size ? size - level : 0);
        }
    }

    /// @dev A level is at most the size of a bucket that was, which fits: the cast loses nothing.
    function _write(IVault.Window storage window, uint112 limit, uint256 level) private {
        window.limit = limit;
        window.level = uint112(level);
        window.updatedAt = uint32(block.timestamp);
    }
}
