// Breaks every guard of the contracts in turn, and shows that a test fails for it.
//
//   node contracts/mutate.mjs               every mutant, about ten minutes
//   node contracts/mutate.mjs pause root    those whose name holds one of the words
//
// A guard without a failing test is a guard that the next change may drop unseen. The mutants are
// compiled by the legacy pipeline, in seconds instead of half a minute: what a guard means does not
// depend on the pipeline.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = join(HERE, "..", "node_modules");
const FORGE = join(PACKAGES, "@foundry-rs", "forge-linux-amd64", "bin", "forge");
const WORK = join(HERE, "..", "build", "mutants");

const VAULT = "src/Vault.sol";
const ROWS = "src/libraries/RowsLib.sol";
const WINDOW = "src/libraries/WindowLib.sol";

// Name, file, the text to break (each must be found), what stands there instead.
const MUTANTS = [
  ["settlers: anybody pays", VAULT, "if (!isSettler[msg.sender])", "if (false)"],
  ["pauser: anybody pauses", VAULT, "if (msg.sender != pauser && msg.sender != owner())", "if (false)"],
  ["pause: batches go on", VAULT, "external onlySettler whenNotPaused nonReentrant", "external onlySettler nonReentrant"],
  ["pause: withdrawals go on", VAULT, "        whenNotPaused\n        announced", "        announced"],
  ["unpause: anybody", VAULT, "function unpause() external onlyOwner", "function unpause() external"],
  ["lock: batches reenter", VAULT, "external onlySettler whenNotPaused nonReentrant", "external onlySettler whenNotPaused"],
  ["lock: receipts in the middle", VAULT, "external view nonReentrantView returns (bool)", "external view returns (bool)"],
  ["lock: withdrawals reenter", VAULT, "        announced\n        nonReentrant\n", "        announced\n"],
  ["root: zero", VAULT, "if (root == bytes32(0)) revert", "if (false) revert"],
  ["rows: empty", VAULT, "if (rows.length == 0)", "if (false)"],
  ["rows: too short", VAULT, "rowBytes < ROW_BYTES_MIN || ", ""],
  ["rows: too long", VAULT, "rowBytes > ROW_BYTES_MAX || ", ""],
  ["rows: no whole number", VAULT, " || rows.length % rowBytes != 0", ""],
  ["replay: paid twice", VAULT, "if (batchRoot[batchId] != bytes32(0))", "if (false)"],
  ["replay: root not kept", VAULT, "batchRoot[batchId] = root;", ""],
  ["listing: any asset is paid", VAULT, "if (window[asset].limit == 0)", "if (false)"],
  ["window: nothing is charged", VAULT, "window[asset].spend(asset, paid);", ""],
  ["receipt: unpaid batch", VAULT, "if (root == bytes32(0)) return false;", "if (root == bytes32(0)) return true;"],
  ["receipt: skipped row", VAULT, "if (skippedRows[batchId][index / 256] >> (index % 256) & 1 == 1) return false;", ""],
  ["receipt: row not bound", VAULT, "abi.encode(index, orderHash", "abi.encode(uint256(0), orderHash"],
  ["skip: bit not kept", VAULT, "skippedRows[batchId][index / 256] |= 1 << (index % 256);", ""],
  ["skip: wrong word", VAULT, "skippedRows[batchId][index / 256] |= 1", "skippedRows[batchId][0] |= 1"],
  ["skip: counted as paid", VAULT, "paid -= amount;", ""],
  ["skip: not counted", VAULT, "++skippedCount;", ""],
  ["skip: not reported", VAULT, "emit PayoutSkipped(batchId, index);", ""],
  ["fault: want of gas", VAULT, "if (gasleft() < gasCap + gasCap / 63 + ROW_GAS_RESERVE)", "if (false)"],
  ["fault: want of inventory", VAULT, "if (held < amount)", "if (false)"],
  ["fault: stopped token", VAULT, "if (asset != NATIVE && !RowsLib.send", "if (false && !RowsLib.send"],
  ["fault: native to nobody", VAULT, "if (to == address(0) || to == address(this) || to == asset) return false;", ""],
  ["fault: no second attempt", VAULT, "if (RowsLib.send(asset, gasCap, to, amount)) return true;", ""],
  ["outflow: not accounted", VAULT, "if (left + paid < inventory)", "if (false)"],
  ["balance: mute token", VAULT, "if (!known)", "if (false)"],
  ["delay: settlers at once", VAULT, "if (allowed) _useAnnouncement();", ""],
  ["delay: limits at once", VAULT, "if (limit > window[asset].limit) _useAnnouncement();", ""],
  ["delay: pauser at once", VAULT, "function setPauser(address account) external onlyOwner announced", "function setPauser(address account) external onlyOwner"],
  ["delay: treasury at once", VAULT, "function setTreasury(address account) external onlyOwner announced", "function setTreasury(address account) external onlyOwner"],
  ["delay: withdrawals at once", VAULT, "        whenNotPaused\n        announced", "        whenNotPaused"],
  ["delay: too early", VAULT, "if (block.timestamp < time)", "if (false)"],
  ["delay: too late", VAULT, "if (block.timestamp > time + GRACE)", "if (false)"],
  ["delay: used twice", VAULT, "        delete executableAt[callHash];\n    }", "    }"],
  ["delay: revoked in vain", VAULT, "        delete executableAt[callHash];\n\n", ""],
  ["pauser: keeps its seat", VAULT, "if (bytes4(data) == IVault.setPauser.selector && msg.sender != owner())", "if (false)"],
  ["owner: anybody announces", VAULT, "function announce(bytes calldata data) external onlyOwner", "function announce(bytes calldata data) external"],
  ["owner: anybody lists", VAULT, "        external\n        onlyOwner\n        nonReentrant", "        external\n        nonReentrant"],
  ["owner: anybody limits", VAULT, "function setLimit(address asset, uint112 limit) external onlyOwner", "function setLimit(address asset, uint112 limit) external"],
  ["owner: anybody appoints", VAULT, "function setSettler(address account, bool allowed) external onlyOwner", "function setSettler(address account, bool allowed) external"],
  ["owner: anybody names the treasury", VAULT, "function setTreasury(address account) external onlyOwner announced", "function setTreasury(address account) external announced"],
  ["owner: anybody withdraws", VAULT, "        external\n        onlyOwner\n        whenNotPaused", "        external\n        whenNotPaused"],
  ["owner: renounced", VAULT, "revert ErrorsLib.OwnershipCannotBeRenounced();", ""],
  ["listing: zero limit", VAULT, "if (limit == 0) revert", "if (false) revert"],
  ["listing: twice", VAULT, "if (window[asset].updatedAt != 0)", "if (false)"],
  ["listing: without code", VAULT, "if (asset != NATIVE && asset.code.length == 0)", "if (false)"],
  ["listing: never listed", VAULT, "if (window[asset].updatedAt == 0)", "if (false)"],
  ["listing: without a probe", VAULT, "if (amount == 0) revert", "if (false) revert"],
  ["listing: fees unseen", VAULT, "if (token.balanceOf(address(this)) != mine || token.balanceOf(msg.sender) != theirs)", "if (false)"],
  ["accounts: no treasury", VAULT, "if (account == address(0) || account == address(this))", "if (false)"],
  ["accounts: zero settler", VAULT, "if (account == address(0)) revert", "if (false) revert"],
  ["rows: the answer is not read", ROWS, "if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20)))", "if iszero(call(gasCap, token, 0, 0x20, 0x44, 0, 0x20))"],
  ["rows: the call may fail", ROWS, "if iszero(and(eq(mload(0), 1), call(gasCap, token, 0, 0x20, 0x44, 0, 0x20)))", "pop(call(gasCap, token, 0, 0x20, 0x44, 0, 0x20)) if iszero(eq(mload(0), 1))"],
  ["rows: silent tokens", ROWS, "mstore(0x00, 1)", ""],
  ["rows: no gas cap", ROWS, "call(gasCap, token", "call(gas(), token"],
  ["rows: beyond the end", ROWS, "let seven := mul(7, rowBytes)", "let seven := 0"],
  ["rows: nothing summed", ROWS, "sum := add(amount, sum)", ""],
  ["rows: the retry believes any answer", ROWS, "success := and(success, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))", ""],
  ["window: all of it at once", WINDOW, "uint256 size = limit - half;", "uint256 size = limit;"],
  ["window: drains twice as fast", WINDOW, "uint256 drained = half *", "uint256 drained = limit *"],
  ["window: no room needed", WINDOW, "if (amount > room)", "if (false)"],
  ["window: clock of 2106", WINDOW, "uint32(uint32(block.timestamp) - updatedAt)", "(block.timestamp - updatedAt)"],
  ["window: forgets at a change", WINDOW, "_write(window, limit, level);", "_write(window, limit, 0);"],
  ["window: forgets what was spent", WINDOW, "level + amount", "amount"],
];

function prepare() {
  rmSync(WORK, { recursive: true, force: true });
  mkdirSync(join(WORK, "contracts"), { recursive: true });
  for (const name of ["src", "test", "foundry.toml", "solc.mjs"]) {
    cpSync(join(HERE, name), join(WORK, "contracts", name), { recursive: true });
  }
  symlinkSync(PACKAGES, join(WORK, "node_modules"));
}

// The invariants take the longest, and are asked only when nothing else has noticed.
function forge() {
  const quick = run("--no-match-contract", "GasTest|InvariantsTest");
  return quick.status === 0 ? run("--match-contract", "InvariantsTest") : quick;
}

function run(...selection) {
  return spawnSync(FORGE, ["test", "--fail-fast", ...selection], {
    cwd: join(WORK, "contracts"),
    encoding: "utf8",
    env: { ...process.env, FOUNDRY_VIA_IR: "false", FOUNDRY_FUZZ_RUNS: "32",
      FOUNDRY_INVARIANT_RUNS: "16", FOUNDRY_INVARIANT_DEPTH: "48" },
  });
}

// The first failing test's name, null when all passed.
function killer(run) {
  if (run.status === 0) return null;
  if (run.error) throw run.error;
  const failed = /\[FAIL[^\n]*?\]\s*(\w+)\(|^\s*(invariant\w+)\(/m.exec(run.stdout);
  if (failed) return failed[1] ?? failed[2];
  throw new Error(`no test failed, and yet:\n${run.stdout.slice(-2000)}${run.stderr.slice(-2000)}`);
}

const words = process.argv.slice(2);
const chosen = MUTANTS.filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));
prepare();
const unbroken = killer(forge());
if (unbroken) throw new Error(`${unbroken} fails without any mutation`);
const survivors = [];
for (const [name, file, guard, broken] of chosen) {
  const path = join(WORK, "contracts", file);
  const source = readFileSync(path, "utf8");
  if (!source.includes(guard)) throw new Error(`${name}: ${file} does not hold\n${guard}`);
  writeFileSync(path, source.replaceAll(guard, () => broken));
  const test = killer(forge());
  writeFileSync(path, source);
  console.log(`${test ? "killed  " : "SURVIVED"}  ${name}${test ? `  (${test})` : ""}`);
  if (!test) survivors.push(name);
}
console.log(`${chosen.length - survivors.length} of ${chosen.length} guards are missed when they are gone`);
process.exit(survivors.length ? 1 : 0);
