// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IEscrow} from "../src/interfaces/IEscrow.sol";
import {EscrowBase} from "./EscrowBase.sol";

/// @notice Figures to compare with the committed snapshot, signing included, which costs nothing on a
/// chain: what makes an escrow dearer shows up in the change that does it.
contract EscrowGasTest is EscrowBase {
    IEscrow.Terms internal terms;
    IEscrow.Terms internal opened;

    function setUp() public override {
        super.setUp();
        IERC20 plain = IERC20(_deploy("BenchToken", abi.encode(1e24)));
        terms = _terms();
        terms.asset = address(plain);
        opened = terms;
        opened.order = keccak256("opened");
        plain.transfer(escrow.purseOf(terms), 100);
        plain.transfer(escrow.purseOf(opened), 100);
        plain.transfer(PAYER, 1);
        plain.transfer(PAYEE, 1);
        _does(OPERATOR, _release(opened, 1));
    }

    function testGasOfTheFirstRelease() public {
        _does(OPERATOR, _release(terms, 100));
    }

    function testGasOfALaterRelease() public {
        _does(OPERATOR, _release(opened, 50));
    }

    function testGasOfASettlementOfBoth() public {
        _does(OPERATOR, _settle(opened, 40, 40));
    }

    function testGasOfADispute() public {
        _does(PAYER, _dispute(opened, PAYER, PAYER_KEY));
    }

    function testGasOfAnExpiry() public {
        vm.warp(EXPIRY);
        _does(OPERATOR, _expire(opened));
    }
}
