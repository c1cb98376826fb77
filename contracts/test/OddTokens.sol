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
        Reenters,
        TakesFeeFromRecipient,
        LiesThatItMoved,
        RefusesOnce,
        SendsBack
    }

    mapping(address => uint256) internal _balances;
    bool internal _mute;
    mapping(address => Mood) public moodOf;
    bytes public reentrantCall;
    bool public reentrancyRefused;

    function balanceOf(address account) external view returns (uint256) {
        if (_mute) _answer(0, 0);
        return _balances[account];
    }

    /// @notice Whether the token answers nothing when asked for a balance, as an empty address does.
    function setMute(bool mute) external {
        _mute = mute;
    }

    function mint(address to, uint256 amount) external {
        _balances[to] += amount;
    }

    /// @notice What a token that rebases, or whose issuer seizes, does.
    function seize(address account, uint256 amount) external {
        _balances[account] -= amount;
    }

    /// @notice What a transfer to `recipient` will do.
    function setMood(address recipient, Mood mood) external {
        moodOf[recipient] = mood;
    }

    function setReentrantCall(bytes calldata call_) external {
        reentrantCall = call_;
    }

    /// @notice No allowances here: what matters is what moves.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        _balances[from] -= amount;
        _balances[to] += moodOf[to] == Mood.TakesFeeFromRecipient ? amount - 1 : amount;
        return true;
    }

    function transfer(address to, uint256 amount) external {
        Mood mood = moodOf[to];
        if (mood == Mood.LiesThatItMoved) _answer(32, 1);
        if (mood == Mood.RefusesOnce) {
            moodOf[to] = Mood.ReturnsTrue;
            _answer(32, 0);
        }
        if (mood == Mood.Reverts) revert("no");
        if (mood == Mood.BurnsAllGas) while (true) {}
        if (mood == Mood.Reenters) {
            (bool succeeded,) = msg.sender.call(reentrantCall);
            reentrancyRefused = !succeeded;
        }
        if (mood == Mood.ReturnsFalse) _answer(32, 0);
        if (mood == Mood.ReturnsTwo) _answer(32, 2);
        if (mood == Mood.ReturnsOneByte) _answer(1, 0);

        _balances[msg.sender] -= amount + (mood == Mood.TakesFeeFromSender ? 1 : 0);
        _balances[to] += amount - (mood == Mood.TakesFeeFromRecipient ? 1 : 0);
        if (mood == Mood.SendsBack) {
            _balances[to] -= amount;
            _balances[msg.sender] += amount;
        }
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

/// @notice A recipient of native coin that wants to be given enough gas.
contract Picky {
    uint256 internal immutable wanted;

    constructor(uint256 gas) {
        wanted = gas;
    }

    receive() external payable {
        if (gasleft() < wanted) revert("too little gas");
    }
}
