// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IVault} from "./interfaces/IVault.sol";
import {ErrorsLib} from "./libraries/ErrorsLib.sol";

/// @title Vault
/// @notice Pays batches of orders from its own inventory, each batch once. See {IVault}.
contract Vault is IVault, Ownable2Step, Pausable, ReentrancyGuardTransient {
    /* CONSTANTS */

    /// @inheritdoc IVault
    uint256 public constant TOKEN_GAS_CAP = 150_000;
    /// @inheritdoc IVault
    uint256 public constant NATIVE_GAS_CAP = 50_000;
    /// @inheritdoc IVault
    uint256 public constant ROW_GAS_RESERVE = 60_000;

    /* STORAGE */

    /// @inheritdoc IVault
    mapping(address account => bool) public isSettler;
    /// @inheritdoc IVault
    mapping(uint256 batchId => bytes32) public batchRoot;
    /// @inheritdoc IVault
    address public pauser;

    /* CONSTRUCTOR */

    /// @param initialOwner The owner; it names settlers, pauser and withdrawals.
    /// @param initialPauser The pauser, or zero for the owner alone.
    constructor(address initialOwner, address initialPauser) Ownable(initialOwner) {
        pauser = initialPauser;
        emit PauserSet(initialPauser);
    }

    /* MODIFIERS */

    modifier onlySettler() {
        if (!isSettler[msg.sender]) revert ErrorsLib.NotSettler(msg.sender);
        _;
    }

    /* INVENTORY */

    /// @notice Native coin is stocked by sending it; tokens are stocked by transferring them.
    receive() external payable {}

    /// @inheritdoc IVault
    function withdraw(address token, address to, uint256 amount)
        external
        onlyOwner
        whenNotPaused
        nonReentrant
    {
        if (to == address(0)) revert ErrorsLib.ZeroAddress();
        if (token != address(0) && token.code.length == 0) {
            revert ErrorsLib.TokenWithoutCode(token);
        }

        emit Withdrawn(token, to, amount);

        if (!_send(token, to, amount, gasleft())) {
            revert ErrorsLib.WithdrawalFailed(token, to, amount);
        }
    }

    /* SETTLEMENT */

    /// @inheritdoc IVault
    function payBatch(uint256 batchId, bytes32 root, address token, uint256[] calldata payouts)
        external
        onlySettler
        whenNotPaused
        nonReentrant
    {
        if (root == bytes32(0)) revert ErrorsLib.ZeroRoot();
        if (payouts.length == 0) revert ErrorsLib.EmptyBatch();
        if (batchRoot[batchId] != bytes32(0)) revert ErrorsLib.BatchAlreadyPaid(batchId);
        if (token != address(0) && token.code.length == 0) {
            revert ErrorsLib.TokenWithoutCode(token);
        }

        batchRoot[batchId] = root;

        uint256 inventory = _balance(token);
        (uint256 paid, uint256 skippedCount) = _payRows(batchId, token, payouts, inventory);

        // A token that moved funds and then answered "false" would have its row refunded as well.
        uint256 left = _balance(token);
        if (left + paid < inventory) revert ErrorsLib.UnaccountedOutflow(paid, inventory - left);

        emit BatchPaid(batchId, root, token, paid, skippedCount);
    }

    /* PERMISSIONS */

    /// @inheritdoc IVault
    function setSettler(address account, bool allowed) external onlyOwner {
        if (account == address(0)) revert ErrorsLib.ZeroAddress();
        isSettler[account] = allowed;
        emit SettlerSet(account, allowed);
    }

    /// @inheritdoc IVault
    function setPauser(address account) external onlyOwner {
        pauser = account;
        emit PauserSet(account);
    }

    /// @inheritdoc IVault
    function pause() external {
        if (msg.sender != pauser && msg.sender != owner()) revert ErrorsLib.NotPauser(msg.sender);
        _pause();
    }

    /// @inheritdoc IVault
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice Always refused: a vault without an owner could never be emptied again.
    function renounceOwnership() public view override onlyOwner {
        revert ErrorsLib.OwnershipCannotBeRenounced();
    }

    /* INTERNAL */

    function _payRows(
        uint256 batchId,
        address token,
        uint256[] calldata payouts,
        uint256 inventory
    ) internal returns (uint256 paid, uint256 skippedCount) {
        uint256 gasCap = token == address(0) ? NATIVE_GAS_CAP : TOKEN_GAS_CAP;
        // A call forwards at most 63/64 of the gas left (EIP-150), silently.
        uint256 gasNeeded = gasCap + gasCap / 63 + 1 + ROW_GAS_RESERVE;

        for (uint256 i; i < payouts.length; ++i) {
            address to = address(uint160(payouts[i] >> 96));
            uint256 amount = uint96(payouts[i]);

            if (amount > inventory - paid) {
                revert ErrorsLib.InsufficientInventory(i, amount, inventory - paid);
            }
            if (gasleft() < gasNeeded) revert ErrorsLib.InsufficientGas(i);

            if (_isPayable(token, to, amount) && _send(token, to, amount, gasCap)) {
                paid += amount;
            } else {
                ++skippedCount;
                emit PayoutSkipped(batchId, i);
            }
        }
    }

    function _isPayable(address token, address to, uint256 amount) internal view returns (bool) {
        return to != address(0) && to != address(this) && to != token && amount != 0;
    }

    /// @dev Copies at most one word of return data, so that no recipient can make the vault pay for
    /// the memory of a long answer.
    function _send(address token, address to, uint256 amount, uint256 gasCap)
        internal
        returns (bool success)
    {
        if (token == address(0)) {
            assembly ("memory-safe") {
                success := call(gasCap, to, amount, 0, 0, 0, 0)
            }
            return success;
        }

        bytes memory data = abi.encodeCall(IERC20.transfer, (to, amount));
        assembly ("memory-safe") {
            success := call(gasCap, token, 0, add(data, 0x20), mload(data), 0, 0x20)
            // Some tokens return nothing; the batch checked that there is code behind the address.
            if and(success, gt(returndatasize(), 0)) {
                success := and(gt(returndatasize(), 0x1f), eq(mload(0), 1))
            }
        }
    }

    function _balance(address token) internal view returns (uint256) {
        return token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
    }
}
