// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A wallet with code: it signs (ERC-1271) with its owner's key, and does with native coin
/// whatever the test asks for.
contract SmartWallet {
    enum Mood {
        Takes,
        Refuses,
        BurnsAllGas,
        FloodsReturnData,
        Reenters,
        SendsBack
    }

    address public immutable owner;
    Mood public mood;
    address internal target;
    bytes internal reentrantCall;
    bytes4 public reentrancyAnswer;

    constructor(address owner_) {
        owner = owner_;
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function setReentrantCall(address target_, bytes calldata call_) external {
        (target, reentrantCall) = (target_, call_);
    }

    function execute(address target_, bytes calldata call_) external {
        (bool done, bytes memory answer) = target_.call(call_);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        return signer == owner ? this.isValidSignature.selector : bytes4(0);
    }

    receive() external payable {
        if (mood == Mood.Refuses) revert("no");
        if (mood == Mood.BurnsAllGas) while (true) {}
        if (mood == Mood.FloodsReturnData) {
            assembly ("memory-safe") {
                revert(0, 100000)
            }
        }
        if (mood == Mood.Reenters) {
            (, bytes memory answer) = target.call(reentrantCall);
            reentrancyAnswer = bytes4(answer);
        }
        if (mood == Mood.SendsBack) {
            (bool done,) = msg.sender.call{value: msg.value}("");
            if (!done) revert("not taken back");
        }
    }
}
