// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IVault} from "../src/interfaces/IVault.sol";
import {Base} from "./Base.sol";

/// @notice Figures to compare with the committed snapshot: what makes a payout dearer shows up in the
/// change that does it. The absolute figures are those of `benchmarks/payout_gas.py`.
contract GasTest is Base {
    IERC20 internal plain;

    function setUp() public override {
        super.setUp();
        plain = IERC20(_deploy("BenchToken", abi.encode(1e24)));
        plain.approve(address(vault), 1);
        vault.listAsset(address(plain), LIMIT, 1);
        plain.transfer(address(vault), 1e20);
        vm.deal(address(vault), 1e20);
    }

    function testGasOfOneTokenPayout() public {
        _pay(1, address(plain), _many(1));
    }

    function testGasOfTwoHundredTokenPayouts() public {
        _pay(1, address(plain), _many(200));
    }

    function testGasOfTwoHundredNativePayouts() public {
        _pay(1, NATIVE, _many(200));
    }

    function testGasOfASkippedTokenPayout() public {
        _pay(1, address(plain), _rows(address(0), 1, BOB, 1));
    }

    function _many(uint256 count) internal pure returns (bytes memory rows) {
        rows = new bytes(32 * count);
        for (uint256 i; i < count; ++i) {
            uint256 row = uint256(keccak256(abi.encode(i))) << 96 | 0x01020304;
            assembly ("memory-safe") {
                mstore(add(add(rows, 32), mul(32, i)), row)
            }
        }
    }
}
