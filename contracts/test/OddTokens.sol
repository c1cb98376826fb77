// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @notice A token that does with a transfer whatever the test asks for; the good behaviour of the
/// others is taken from the large tokens that lack it.
contract OddToken {
    enum Mood {
        ReturnsTrue,
        ReturnsNothing, // USDT
        ReturnsFalse, // several early tokens
        ReturnsTwo,
        ReturnsOneByte,
        FloodsReturnData,
        Reverts,
        BurnsAllGas,
        MovesAndReturnsFalse,
        TakesFeeFromSender,
        Reenters
    }

    mapping(address => uint256) public balanceOf;
    mapping(address => Mood) public moodOf;
    bytes public reentrantCall;
    bool public reentrancyRefused;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    /// @notice What a transfer to `recipient` will do.
    function setMood(address recipient, Mood mood) external {
        moodOf[recipient] = mood;
    }

    function setReentrantCall(bytes calldata call_) external {
        reentrantCall = call_;
    }

    function transfer(address to, uint256 amount) external {
        Mood mood = moodOf[to];
        if (mood == Mood.Reverts) revert("no");
        if (mood == Mood.BurnsAllGas) while (true) {}
        if (mood == Mood.Reenters) {
            (bool succeeded,) = msg.sender.call(reentrantCall);
            reentrancyRefused = !succeeded;
        }
        if (mood == Mood.ReturnsFalse) _answer(32, 0);
        if (mood == Mood.ReturnsTwo) _answer(32, 2);
        if (mood == Mood.ReturnsOneByte) _answer(1, 0);

        balanceOf[msg.sender] -= amount + (mood == Mood.TakesFeeFromSender ? 1 : 0);
        balanceOf[to] += amount;
        if (mood == Mood.ReturnsNothing) _answer(0, 0);
        if (mood == Mood.MovesAndReturnsFalse) _answer(32, 0);
        if (mood == Mood.FloodsReturnData) _answer(100_000, 1);
        _answer(32, 1);
    }

    function _answer(uint256 size, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(0, word)
            return(0, size)
        }
    }
}

/// @notice A recipient of native coin that calls back into the vault.
contract ReentrantRecipient {
    bytes public call_;
    bool public refused;

    constructor(bytes memory reentrantCall) {
        call_ = reentrantCall;
    }

    receive() external payable {
        (bool succeeded,) = msg.sender.call(call_);
        refused = !succeeded;
    }
}
