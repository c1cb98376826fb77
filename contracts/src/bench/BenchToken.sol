// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title BenchToken
/// @notice The plainest token there is, so that a gas figure is about the payer and not the token: all
/// of it belongs to whoever creates it, and nothing is added to OpenZeppelin's functions.
contract BenchToken is ERC20 {
    constructor(uint256 supply) ERC20("Bench", "BENCH") {
        _mint(msg.sender, supply);
    }
}
