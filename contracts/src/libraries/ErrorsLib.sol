// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title ErrorsLib
/// @notice Everything the vault refuses, in one place: whoever decodes a revert reads this file.
library ErrorsLib {
    /// @notice Thrown when the caller may not settle batches.
    error NotSettler(address caller);

    /// @notice Thrown when the caller is neither the pauser nor the owner.
    error NotPauser(address caller);

    /// @notice Thrown when a batch of this id was paid before, whoever signed it.
    error BatchAlreadyPaid(uint256 batchId);

    /// @notice Thrown when the batch brings no root: the id would stay unmarked, and replayable.
    error ZeroRoot();

    /// @notice Thrown when the batch has no payouts.
    error EmptyBatch();

    /// @notice Thrown when the token's address holds no code: calls to it would succeed and pay nobody.
    error TokenWithoutCode(address token);

    /// @notice Thrown when the vault holds less than the payout at `index` needs. The fault is ours,
    /// not the recipient's, so nobody is skipped.
    error InsufficientInventory(uint256 index, uint256 required, uint256 available);

    /// @notice Thrown when the gas left could starve the payout at `index`: a recipient must never be
    /// skipped because the sender was stingy.
    error InsufficientGas(uint256 index);

    /// @notice Thrown when the vault lost more of the token than it counted as paid.
    error UnaccountedOutflow(uint256 counted, uint256 lost);

    /// @notice Thrown when the zero address is given where an account is needed.
    error ZeroAddress();

    /// @notice Thrown when a withdrawal could not be delivered.
    error WithdrawalFailed(address token, address to, uint256 amount);

    /// @notice Thrown when the owner tries to leave the vault without an owner.
    error OwnershipCannotBeRenounced();
}
