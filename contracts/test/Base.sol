// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IVault} from "../src/interfaces/IVault.sol";
import {OddToken} from "./OddTokens.sol";

/// @dev The few of forge's cheatcodes that are used here; npm has no official forge-std.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function prank(address sender) external;
    function deal(address account, uint256 amount) external;
    function warp(uint256 timestamp) external;
    /// @dev Unlike `block.timestamp`, the optimizer does not read it again later, after a warp.
    function getBlockTimestamp() external view returns (uint256);
    function expectRevert(bytes calldata revertData) external;
    function expectRevert() external;
    function expectEmit(bool, bool, bool, bool, address emitter) external;
    function assume(bool condition) external pure;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest)
        external
        pure
        returns (uint8 v, bytes32 r, bytes32 s);
    function chainId(uint256 id) external;
    function getCode(string calldata artifact) external view returns (bytes memory);
}

/// @notice The vault with what it has from its ancestors.
interface IOwnedVault is IVault {
    function owner() external view returns (address);
    function paused() external view returns (bool);
    function transferOwnership(address account) external;
    function acceptOwnership() external;
    function renounceOwnership() external;
}

/// @notice A vault with its people, a token that misbehaves on request, and rows.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bytes32 internal constant ROOT = keccak256("root");
    address internal constant SETTLER = address(0x5e771e);
    address internal constant PAUSER = address(0x9a05e);
    address internal constant TREASURY = address(0x7ea5);
    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0b);
    address internal constant ODD = address(0x0dd);
    address internal constant NATIVE = address(0);
    uint112 internal constant LIMIT = 1e30;
    uint256 internal constant START = 1_800_000_000;

    IOwnedVault internal vault;
    OddToken internal token;

    error Failed(string what);

    /// @dev The test itself is the owner.
    function setUp() public virtual {
        vm.warp(START);
        address[] memory settlers = new address[](1);
        settlers[0] = SETTLER;
        vault = _newVault(TREASURY, settlers);
        token = new OddToken();
        token.mint(address(this), 1_000);
        vault.listAsset(address(token), LIMIT, 100);
        vault.listAsset(NATIVE, LIMIT, 0);
        token.mint(address(vault), 1_000);
    }

    function _newVault(address treasury, address[] memory settlers)
        internal
        returns (IOwnedVault)
    {
        bytes memory arguments = abi.encode(address(this), PAUSER, treasury, settlers);
        return IOwnedVault(_deploy("Vault", arguments));
    }

    /// @dev The committed bytes, as they are deployed everywhere: whatever compiles the tests, this is
    /// what they ask. So only the contracts need the slow pipeline, and a broken one is soon made.
    function _deploy(string memory name, bytes memory arguments) internal returns (address made) {
        bytes memory code =
            bytes.concat(vm.getCode(string.concat("artifacts/", name, ".json")), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        _check(made != address(0), name);
    }

    function _pay(uint256 batchId, address asset, bytes memory rows) internal {
        vm.prank(SETTLER);
        vault.payBatch(batchId, ROOT, asset, 32, rows);
    }

    function _refusesToPay(bytes memory refusal, address asset, bytes memory rows) internal {
        vm.prank(SETTLER);
        vm.expectRevert(refusal);
        vault.payBatch(1, ROOT, asset, 32, rows);
    }

    /// @dev Announces the call and lets its time come.
    function _announce(bytes memory data) internal {
        vault.announce(data);
        vm.warp(vm.getBlockTimestamp() + vault.DELAY());
    }

    function _setLimit(address asset, uint112 limit) internal {
        _announce(abi.encodeCall(IVault.setLimit, (asset, limit)));
        vault.setLimit(asset, limit);
    }

    function _row(address to, uint256 amount) internal pure returns (bytes memory) {
        return abi.encodePacked(to, uint96(amount));
    }

    function _rows(address first, uint256 firstAmount, address second, uint256 secondAmount)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(_row(first, firstAmount), _row(second, secondAmount));
    }

    function _check(bool holds, string memory what) internal pure {
        if (!holds) revert Failed(what);
    }
}
