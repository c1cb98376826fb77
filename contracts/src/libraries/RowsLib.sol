// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title RowsLib
/// @notice The loops that almost all gas is spent in, and nothing else: they pay rows until one is not
/// paid, and leave the judgement of that row to the vault.
/// @dev A row is recipient (20 bytes) and amount (`rowBytes`, at most 14), in calldata. Amounts of
/// 112 bits cannot overflow their sum: calldata would need 2^144 rows.
library RowsLib {
    function payTokens(
        address token,
        uint256 gasCap,
        uint256 rowBytes,
        uint256 position,
        uint256 end
    ) internal returns (uint256 stopped) {
        assembly ("memory-safe") {
            let shift := sub(416, shl(3, rowBytes))
            mstore(0x00, shl(224, 0xa9059cbb))
            for {} lt(position, end) {} {
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
                mstore(0x10, calldataload(position))
                mstore(0x24, shr(shift, calldataload(add(position, 20))))
                if iszero(and(eq(mload(0x10), 1), call(gasCap, token, 0, 0, 0x44, 0x10, 0x20))) { break }
                position := add(position, rowBytes)
            }
            mstore(0x24, 0)
            stopped := position
        }
    }

    /// @notice Pays rows of native coin; as {payTokens}, but no answer is read.
    function payNative(uint256 gasCap, uint256 rowBytes, uint256 position, uint256 end)
        internal
        returns (uint256 stopped)
    {
        assembly ("memory-safe") {
            let shift := sub(416, shl(3, rowBytes))

            for {} lt(position, end) {} {
                let amount := shr(shift, calldataload(add(position, 20)))
                if iszero(call(gasCap, shr(96, calldataload(position)), amount, 0, 0, 0, 0)) { break }
                position := add(position, rowBytes)
            }
            stopped := position
        }
    }

    /// @notice The row that begins at `position`.
    function read(uint256 position, uint256 rowBytes)
        internal
        pure
        returns (address to, uint256 amount)
    {
        assembly ("memory-safe") {
            to := shr(96, calldataload(position))
            amount := shr(sub(416, shl(3, rowBytes)), calldataload(add(position, 20)))
        }
    }

    /// @notice One payment, judged as the loops judge theirs.
    function send(address asset, uint256 gasCap, address to, uint256 amount)
        internal
        returns (bool success)
    {
        if (asset == address(0)) {
            assembly ("memory-safe") {
                success := call(gasCap, to, amount, 0, 0, 0, 0)
            }
            return success;
        }
        bytes memory data = abi.encodeCall(IERC20.transfer, (to, amount));
        assembly ("memory-safe") {
            success := call(gasCap, asset, 0, add(data, 0x20), mload(data), 0x00, 0x20)
            if returndatasize() {
                success := and(success, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))
            }
        }
    }
}
