// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title RowsLib
/// @notice The loops that almost all gas is spent in, and nothing else: they pay rows until one is not
/// paid at once, and leave the judgement of that row to the vault.
/// @dev A row is a recipient (20 bytes) and an amount (at most 14 bytes) in calldata. Amounts of 112
/// bits cannot overflow their sum: calldata would have to hold 2^144 rows.
library RowsLib {
    /// @notice Pays rows of a token from `position` on, until `end` or the first row whose transfer
    /// fails or answers anything but `true` or nothing.
    /// @return stopped Where that row begins, or `end`.
    /// @return sum The amounts of all rows attempted, that row included.
    /// @dev An answer of 1 to 31 zero bytes is taken for none. No token gives one, and listing refuses it.
    function payTokens(
        address token,
        uint256 gasCap,
        uint256 rowBytes,
        uint256 position,
        uint256 end
    ) internal returns (uint256 stopped, uint256 sum) {
        assembly ("memory-safe") {
            // What remains of a word when the recipient's 20 bytes and the next row are gone.
            let shift := sub(416, shl(3, rowBytes))
            let amount

            // transfer(address,uint256) from 0x20: selector 0x20, recipient 0x30 to 0x44, amount 0x44
            // to 0x64. The twelve zero bytes before the recipient stay. This covers the free memory
            // pointer and four bytes of the zero slot, which are put back below.
            let pointer := mload(0x40)
            mstore(0x20, shl(224, 0xa9059cbb))

            // A row, in three steps:
            // 1. The word at `position` puts the recipient in place, and rubbish behind it.
            // 2. The amount goes over the rubbish.
            // 3. The answer lands at 0x00 and has to be 1. A token that answers nothing leaves the 1
            //    that is there from the start, or from the row before.
            // The row that is not paid ends both loops, by moving the end to itself.
            mstore(0x00, 1)

            // Eight rows per turn while there are eight: a test after each would cost 35 gas a row.
            let seven := mul(7, rowBytes)
            for {} lt(add(position, seven), end) {} {
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
            }

            for {} lt(position, end) {} {
                mstore(0x30, calldataload(position))
                amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                mstore(0x44, amount)
                if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))) {
                    end := position
                    break
                }
                position := add(position, rowBytes)
            }

            mstore(0x40, pointer)
            mstore(0x60, 0)
            stopped := position
        }
    }

    /// @notice Pays rows of native coin; as {payTokens}, but no answer is read, and it stops before a
    /// recipient who is zero or this contract, where the coin would be burnt or go nowhere.
    function payNative(uint256 gasCap, uint256 rowBytes, uint256 position, uint256 end)
        internal
        returns (uint256 stopped, uint256 sum)
    {
        assembly ("memory-safe") {
            let shift := sub(416, shl(3, rowBytes))

            for {} lt(position, end) {} {
                let to := shr(96, calldataload(position))
                let amount := shr(shift, calldataload(add(position, 20)))
                sum := add(amount, sum)
                if or(iszero(to), eq(to, address())) { break }
                if iszero(call(gasCap, to, amount, 0, 0, 0, 0)) { break }
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

    /// @notice What this contract holds of `asset`, and whether the token could say it.
    function holding(address asset) internal view returns (bool known, uint256 amount) {
        if (asset == address(0)) return (true, address(this).balance);
        assembly ("memory-safe") {
            mstore(0x14, address())
            mstore(0x00, shl(96, 0x70a08231)) // balanceOf(address) at 0x10
            // The call comes first: arguments are evaluated from the right.
            known := and(gt(returndatasize(), 0x1f), staticcall(gas(), asset, 0x10, 0x24, 0, 0x20))
            amount := mload(0)
        }
    }

    /// @notice One payment. A token may also answer nothing, as USDT does: the vault knows that there
    /// is code behind a listed address.
    /// @dev Copies at most one word of the answer, so that nobody can make the vault pay for the memory
    /// of a long one.
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
