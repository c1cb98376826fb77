// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title IVault
/// @notice Holds the inventory of tokens and pays many orders in one transaction, each batch once.
interface IVault {
    /// @notice A batch was executed. It is the only proof of payment: a batch without it paid nobody.
    /// @param batchId The id of the batch, from the operator's own sequence.
    /// @param root The Merkle root of the orders in the batch.
    /// @param token The token paid; zero is the chain's native coin.
    /// @param paid The sum of all payouts made, in the token's smallest unit.
    /// @param skippedCount How many rows were skipped; each has its own {PayoutSkipped}.
    event BatchPaid(
        uint256 indexed batchId,
        bytes32 indexed root,
        address indexed token,
        uint256 paid,
        uint256 skippedCount
    );

    /// @notice A row of the batch was not paid; what it asked for stays in the vault.
    /// @param batchId The id of the batch.
    /// @param index The row's position in `payouts`, from zero.
    event PayoutSkipped(uint256 indexed batchId, uint256 index);

    /// @notice `account` may settle batches from now on, or no longer.
    event SettlerSet(address indexed account, bool allowed);

    /// @notice `account` is the pauser from now on.
    event PauserSet(address indexed account);

    /// @notice The owner took `amount` of `token` out to `to`.
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    /// @notice Gas that one token transfer may use.
    /// @dev An ordinary token needs 30,000 to 65,000 behind a proxy.
    function TOKEN_GAS_CAP() external view returns (uint256);

    /// @notice Gas that the recipient of native coin may use, the 2,300 stipend not counted.
    function NATIVE_GAS_CAP() external view returns (uint256);

    /// @notice Gas kept beside a row's cap: for what its call costs the vault (account creation and
    /// value transfer up to 36,600), for its skip event, and for ending the batch.
    function ROW_GAS_RESERVE() external view returns (uint256);

    /// @notice Whether `account` may settle batches.
    function isSettler(address account) external view returns (bool);

    /// @notice The account that may stop every outflow, beside the owner.
    function pauser() external view returns (address);

    /// @notice The Merkle root under which `batchId` was paid; zero when it never was.
    /// @dev Written once. It guards against a second payment, whoever signs it, and is the anchor
    /// from which an order's receipt can be verified.
    function batchRoot(uint256 batchId) external view returns (bytes32);

    /// @notice Pays every row of `payouts` that can be paid, and reports the others.
    /// @dev A row is skipped, with {PayoutSkipped}, when its recipient is zero, this vault or the
    /// token, when its amount is zero, or when its transfer reverts, returns false, returns something
    /// that is no boolean, or uses more than its gas cap. The batch reverts instead, and pays nobody,
    /// when inventory or gas could run out: those faults are the sender's.
    /// @dev Warning: `root` is recorded as given. The vault does not check it against `payouts`.
    /// @dev Warning: a gas estimate holds only while recipients behave as they did for the estimate.
    /// Leave room for {TOKEN_GAS_CAP} or {NATIVE_GAS_CAP} where recipients are not trusted.
    /// @param batchId An id never paid before.
    /// @param root The Merkle root of the orders; not zero.
    /// @param token The token to pay; zero pays the chain's native coin.
    /// @param payouts One word per row: recipient (160 bits) << 96 | amount (96 bits).
    function payBatch(uint256 batchId, bytes32 root, address token, uint256[] calldata payouts)
        external;

    /// @notice Takes inventory out of the vault. Owner only, and not while paused.
    /// @param token The token; zero is the chain's native coin.
    function withdraw(address token, address to, uint256 amount) external;

    /// @notice Allows or forbids `account` to settle batches. Owner only.
    function setSettler(address account, bool allowed) external;

    /// @notice Names the pauser. Owner only; zero leaves pausing to the owner alone.
    function setPauser(address account) external;

    /// @notice Stops every outflow, withdrawals included. Pauser or owner.
    function pause() external;

    /// @notice Lets the vault pay again. Owner only, so that a stolen pauser key cannot undo a pause.
    function unpause() external;
}
