// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title ErrorsLib
/// @notice Everything the vault refuses, in one place: whoever decodes a revert reads this file.
library ErrorsLib {
    /* ROLES */

    /// @notice Thrown when the caller may not settle batches.
    error NotSettler(address caller);

    /// @notice Thrown when the caller is neither the pauser nor the owner.
    error NotPauser(address caller);

    /// @notice Thrown when the pauser tries to keep its seat by revoking its own replacement.
    error NotForPauser();

    /// @notice Thrown when the owner tries to leave the vault without an owner.
    error OwnershipCannotBeRenounced();

    /* BATCHES */

    /// @notice Thrown when a batch of this id was paid before, whoever signed it.
    error BatchAlreadyPaid(uint256 batchId);

    /// @notice Thrown when the batch brings no root: the id would stay unmarked, and replayable.
    error ZeroRoot();

    /// @notice Thrown when the batch has no rows.
    error EmptyBatch();

    /// @notice Thrown when a row is too short or too long, or `length` is no whole number of rows.
    error MalformedRows(uint256 length, uint256 rowBytes);

    /// @notice Thrown when a row failed and the vault holds less than it needs. The fault is ours, not
    /// the recipient's, so nobody is skipped.
    error InsufficientInventory(uint256 index, uint256 required, uint256 held);

    /// @notice Thrown when a row failed and the gas left could have starved it: a recipient must never
    /// be skipped because the sender was stingy.
    error InsufficientGas(uint256 index);

    /// @notice Thrown when a row failed and the vault could not even pay itself: the token is stopped
    /// or has blocked the vault, and no recipient is to blame.
    error AssetUnavailable(uint256 index);

    /// @notice Thrown when the token does not say what the vault holds of it: its code is gone or broken.
    error BalanceUnknown(address asset);

    /// @notice Thrown when the vault lost more of the token than it counted as paid.
    error UnaccountedOutflow(uint256 counted, uint256 lost);

    /// @notice Thrown when the batch would spend more than the asset's window has left.
    error WindowExceeded(address asset, uint256 spent, uint256 left);

    /* ASSETS */

    /// @notice Thrown when the asset may not be paid out.
    error AssetNotListed(address asset);

    /// @notice Thrown when an asset is listed a second time; its limit is changed with `setLimit`.
    error AssetAlreadyListed(address asset);

    /// @notice Thrown when the asset's address holds no code: calls to it would succeed and pay nobody.
    error AssetWithoutCode(address asset);

    /// @notice Thrown when an asset is listed with a limit that nothing could leave under.
    error ZeroLimit();

    /// @notice Thrown when a token is listed without an amount to try it with.
    error ZeroProbe();

    /// @notice Thrown when a transfer of the token moved another amount than it was asked to.
    error TransferNotExact(address asset);

    /* ADMINISTRATION */

    /// @notice Thrown when the zero address, or the vault's own, is given where an account is needed.
    error InvalidAccount(address account);

    /// @notice Thrown when a call that must be announced was not, or was revoked.
    error NotAnnounced();

    /// @notice Thrown when an announced call is made before its time.
    error TooEarly(uint256 executableAt);

    /// @notice Thrown when an announced call is made after its time.
    error AnnouncementExpired(uint256 expiredAt);
}
