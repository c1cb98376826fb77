// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IVault} from "./interfaces/IVault.sol";
import {ErrorsLib} from "./libraries/ErrorsLib.sol";
import {RowsLib} from "./libraries/RowsLib.sol";
import {WindowLib} from "./libraries/WindowLib.sol";

/// @title Vault
/// @notice Pays batches of orders from its own inventory, each batch once. See {IVault}.
contract Vault is IVault, Ownable2Step, Pausable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using WindowLib for Window;

    /* CONSTANTS */

    /// @inheritdoc IVault
    uint256 public constant TOKEN_GAS_CAP = 150_000;
    /// @inheritdoc IVault
    uint256 public constant NATIVE_GAS_CAP = 50_000;
    /// @inheritdoc IVault
    uint256 public constant ROW_GAS_RESERVE = 60_000;
    /// @inheritdoc IVault
    uint256 public constant ROW_BYTES_MIN = 21;
    /// @inheritdoc IVault
    uint256 public constant ROW_BYTES_MAX = 34;
    /// @inheritdoc IVault
    uint256 public constant WINDOW = WindowLib.SPAN;
    /// @inheritdoc IVault
    uint256 public constant DELAY = 1 days;
    /// @inheritdoc IVault
    uint256 public constant GRACE = 7 days;

    address internal constant NATIVE = address(0);

    /* STORAGE */

    /// @inheritdoc IVault
    mapping(address account => bool) public isSettler;
    /// @inheritdoc IVault
    mapping(uint256 batchId => bytes32) public batchRoot;
    /// @inheritdoc IVault
    mapping(uint256 batchId => mapping(uint256 word => uint256)) public skippedRows;
    /// @inheritdoc IVault
    mapping(address asset => Window) public window;
    /// @inheritdoc IVault
    mapping(bytes32 callHash => uint256) public executableAt;
    /// @inheritdoc IVault
    address public pauser;
    /// @inheritdoc IVault
    address public treasury;

    /* CONSTRUCTOR */

    /// @param initialOwner The owner.
    /// @param initialPauser The pauser, or zero for the owner alone.
    /// @param initialTreasury Where withdrawals go.
    /// @param settlers The first settlers; later ones have to be announced.
    constructor(
        address initialOwner,
        address initialPauser,
        address initialTreasury,
        address[] memory settlers
    ) Ownable(initialOwner) {
        _setPauser(initialPauser);
        _setTreasury(initialTreasury);
        for (uint256 i; i < settlers.length; ++i) _setSettler(settlers[i], true);
    }

    /* MODIFIERS */

    modifier onlySettler() {
        if (!isSettler[msg.sender]) revert ErrorsLib.NotSettler(msg.sender);
        _;
    }

    modifier onlyPauserOrOwner() {
        if (msg.sender != pauser && msg.sender != owner()) revert ErrorsLib.NotPauser(msg.sender);
        _;
    }

    /// @dev The call was announced, byte for byte, and its time has come.
    modifier announced() {
        _useAnnouncement();
        _;
    }

    /* INVENTORY */

    /// @notice Native coin is stocked by sending it; tokens are stocked by transferring them.
    receive() external payable {}

    /* SETTLEMENT */

    /// @inheritdoc IVault
    function payBatch(
        uint256 batchId,
        bytes32 root,
        address asset,
        uint256 rowBytes,
        bytes calldata rows
    ) external onlySettler whenNotPaused nonReentrant {
        if (root == bytes32(0)) revert ErrorsLib.ZeroRoot();
        if (rows.length == 0) revert ErrorsLib.EmptyBatch();
        if (
            rowBytes < ROW_BYTES_MIN || rowBytes > ROW_BYTES_MAX || rows.length % rowBytes != 0
        ) revert ErrorsLib.MalformedRows(rows.length, rowBytes);
        if (batchRoot[batchId] != bytes32(0)) revert ErrorsLib.BatchAlreadyPaid(batchId);
        if (window[asset].limit == 0) revert ErrorsLib.AssetNotListed(asset);

        batchRoot[batchId] = root;

        (uint256 paid, uint256 skippedCount) = _payRows(batchId, asset, rowBytes, rows);

        // Only now is it known what was spent. Nothing can have come in between: every outflow is
        // under the lock, and a revert takes all of it back.
        window[asset].spend(asset, paid);

        emit BatchPaid(batchId, root, asset, paid, skippedCount);
    }

    /// @inheritdoc IVault
    function verifyReceipt(
        uint256 batchId,
        uint256 index,
        bytes32 orderHash,
        address recipient,
        address asset,
        uint256 amount,
        bytes32[] calldata proof
    ) external view nonReentrantView returns (bool) {
        bytes32 root = batchRoot[batchId];
        if (root == bytes32(0)) return false;
        if (skippedRows[batchId][index / 256] >> (index % 256) & 1 == 1) return false;
        bytes32 leaf = keccak256(abi.encode(index, orderHash, recipient, asset, amount));
        return MerkleProof.verifyCalldata(proof, root, keccak256(abi.encode(leaf)));
    }

    /// @inheritdoc IVault
    function available(address asset) external view returns (uint256) {
        return window[asset].left();
    }

    /* BRAKES */

    /// @inheritdoc IVault
    function pause() external onlyPauserOrOwner {
        _pause();
    }

    /// @inheritdoc IVault
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @inheritdoc IVault
    function revoke(bytes calldata data) external onlyPauserOrOwner {
        if (bytes4(data) == IVault.setPauser.selector && msg.sender != owner()) {
            revert ErrorsLib.NotForPauser();
        }
        bytes32 callHash = keccak256(data);
        if (executableAt[callHash] == 0) revert ErrorsLib.NotAnnounced();

        delete executableAt[callHash];

        emit Revoked(bytes4(data), data);
    }

    /* OWNERSHIP */

    /// @inheritdoc IVault
    function announce(bytes calldata data) external onlyOwner {
        uint256 time = block.timestamp + DELAY;
        executableAt[keccak256(data)] = time;
        emit Announced(bytes4(data), data, time);
    }

    /// @inheritdoc IVault
    function listAsset(address asset, uint112 limit, uint256 probe)
        external
        onlyOwner
        nonReentrant
    {
        if (limit == 0) revert ErrorsLib.ZeroLimit();
        if (window[asset].updatedAt != 0) revert ErrorsLib.AssetAlreadyListed(asset);
        if (asset != NATIVE && asset.code.length == 0) revert ErrorsLib.AssetWithoutCode(asset);

        window[asset].resize(limit);

        emit AssetListed(asset, limit);

        if (asset != NATIVE) _probe(IERC20(asset), probe);
    }

    /// @inheritdoc IVault
    function setLimit(address asset, uint112 limit) external onlyOwner {
        if (window[asset].updatedAt == 0) revert ErrorsLib.AssetNotListed(asset);
        if (limit > window[asset].limit) _useAnnouncement();

        window[asset].resize(limit);

        emit LimitSet(asset, limit);
    }

    /// @inheritdoc IVault
    function setSettler(address account, bool allowed) external onlyOwner {
        if (allowed) _useAnnouncement();
        _setSettler(account, allowed);
    }

    /// @inheritdoc IVault
    function setPauser(address account) external onlyOwner announced {
        _setPauser(account);
    }

    /// @inheritdoc IVault
    function setTreasury(address account) external onlyOwner announced {
        _setTreasury(account);
    }

    /// @inheritdoc IVault
    function withdraw(address asset, uint256 amount)
        external
        onlyOwner
        whenNotPaused
        announced
        nonReentrant
    {
        address to = treasury;

        emit Withdrawn(asset, to, amount);

        if (asset == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(asset).safeTransfer(to, amount);
    }

    /// @notice Always refused: a vault without an owner could never be emptied again.
    function renounceOwnership() public view override onlyOwner {
        revert ErrorsLib.OwnershipCannotBeRenounced();
    }

    /* INTERNAL: BATCHES */

    function _payRows(uint256 batchId, address asset, uint256 rowBytes, bytes calldata rows)
        internal
        returns (uint256 paid, uint256 skippedCount)
    {
        uint256 inventory = _balance(asset);
        uint256 start;
        assembly ("memory-safe") {
            start := rows.offset
        }
        uint256 end = start + rows.length;

        uint256 position;
        (position, paid) = _payFrom(asset, rowBytes, start, end);
        while (position < end) {
            uint256 index = (position - start) / rowBytes;
            (address to, uint256 amount) = RowsLib.read(position, rowBytes);
            if (!_payAgain(asset, to, amount, index)) {
                _skip(batchId, index);
                ++skippedCount;
                paid -= amount;
            }
            uint256 sum;
            (position, sum) = _payFrom(asset, rowBytes, position + rowBytes, end);
            paid += sum;
        }

        // A token that moved funds and then answered "false" would have its row refunded as well. More
        // left than expected is no fault: some recipients can send something back.
        uint256 left = _balance(asset);
        if (left + paid < inventory) revert ErrorsLib.UnaccountedOutflow(paid, inventory - left);
    }

    function _skip(uint256 batchId, uint256 index) internal {
        skippedRows[batchId][index / 256] |= 1 << (index % 256);
        emit PayoutSkipped(batchId, index);
    }

    function _payFrom(address asset, uint256 rowBytes, uint256 position, uint256 end)
        internal
        returns (uint256 stopped, uint256 sum)
    {
        if (asset == NATIVE) return RowsLib.payNative(NATIVE_GAS_CAP, rowBytes, position, end);
        return RowsLib.payTokens(asset, TOKEN_GAS_CAP, rowBytes, position, end);
    }

    /// @dev A row was not paid at its first attempt, which may have lacked gas. Tries it once more with
    /// all the gas that a row may have, and blames nobody else for what is our own fault or the
    /// token's: the answer `false` means that the recipient cannot be paid.
    function _payAgain(address asset, address to, uint256 amount, uint256 index)
        internal
        returns (bool)
    {
        if (to == address(0) || to == address(this) || to == asset) return false;

        uint256 gasCap = asset == NATIVE ? NATIVE_GAS_CAP : TOKEN_GAS_CAP;
        // A call forwards at most 63/64 of the gas left (EIP-150), silently.
        if (gasleft() < gasCap + gasCap / 63 + ROW_GAS_RESERVE) {
            revert ErrorsLib.InsufficientGas(index);
        }
        if (RowsLib.send(asset, gasCap, to, amount)) return true;

        uint256 held = _balance(asset);
        if (held < amount) revert ErrorsLib.InsufficientInventory(index, amount, held);
        // Whether the token lets the vault send at all, seen at a recipient that is surely good.
        if (asset != NATIVE && !RowsLib.send(asset, gasCap, address(this), amount)) {
            revert ErrorsLib.AssetUnavailable(index);
        }
        return false;
    }

    function _balance(address asset) internal view returns (uint256) {
        (bool known, uint256 amount) = RowsLib.holding(asset);
        if (!known) revert ErrorsLib.BalanceUnknown(asset);
        return amount;
    }

    /* INTERNAL: ADMINISTRATION */

    /// @dev Owner to vault, vault to vault, vault to owner: each step must move exactly `amount`.
    function _probe(IERC20 token, uint256 amount) internal {
        if (amount == 0) revert ErrorsLib.ZeroProbe();
        uint256 mine = token.balanceOf(address(this));
        uint256 theirs = token.balanceOf(msg.sender);

        token.safeTransferFrom(msg.sender, address(this), amount);
        _requireBalances(token, mine + amount, theirs - amount);
        token.safeTransfer(address(this), amount);
        _requireBalances(token, mine + amount, theirs - amount);
        token.safeTransfer(msg.sender, amount);
        _requireBalances(token, mine, theirs);
    }

    function _requireBalances(IERC20 token, uint256 mine, uint256 theirs) internal view {
        if (token.balanceOf(address(this)) != mine || token.balanceOf(msg.sender) != theirs) {
            revert ErrorsLib.TransferNotExact(address(token));
        }
    }

    function _useAnnouncement() internal {
        bytes32 callHash = keccak256(msg.data);
        uint256 time = executableAt[callHash];
        if (time == 0) revert ErrorsLib.NotAnnounced();
        if (block.timestamp < time) revert ErrorsLib.TooEarly(time);
        if (block.timestamp > time + GRACE) revert ErrorsLib.AnnouncementExpired(time + GRACE);
        delete executableAt[callHash];
    }

    function _setSettler(address account, bool allowed) internal {
        if (account == address(0)) revert ErrorsLib.InvalidAccount(account);
        isSettler[account] = allowed;
        emit SettlerSet(account, allowed);
    }

    function _setPauser(address account) internal {
        pauser = account;
        emit PauserSet(account);
    }

    function _setTreasury(address account) internal {
        if (account == address(0) || account == address(this)) {
            revert ErrorsLib.InvalidAccount(account);
        }
        treasury = account;
        emit TreasurySet(account);
    }
}
