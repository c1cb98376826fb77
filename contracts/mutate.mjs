// Breaks every guard of the contracts in turn, and shows that a test fails for it.
//
//   node contracts/mutate.mjs               every mutant, about an hour
//   node contracts/mutate.mjs pause root    those whose name holds one of the words
//
// A guard without a failing test is a guard that the next change may drop unseen. The mutants are
// compiled by the legacy pipeline, in seconds instead of half a minute: what a guard means does not
// depend on the pipeline. The tests, which ask the artifacts, are compiled once.

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
const ESCROW = "src/Escrow.sol";
const PURSE = "src/Purse.sol";

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
  ["escrow terms: anything goes", ESCROW, "if (_isAstray(terms.asset, terms.payer) || _isAstray(terms.asset, terms.payee))", "if (false)"],
  ["escrow terms: any payer", ESCROW, "_isAstray(terms.asset, terms.payer) || ", ""],
  ["escrow terms: any payee", ESCROW, " || _isAstray(terms.asset, terms.payee)", ""],
  ["escrow terms: zero", ESCROW, "return to == address(0) || ", "return "],
  ["escrow terms: the escrow itself", ESCROW, "to == address(this) || ", ""],
  ["escrow terms: the asset", ESCROW, " || to == asset;", ";"],
  ["escrow id: any contract", ESCROW, "abi.encode(CHAIN_ID, address(this), terms)", "abi.encode(CHAIN_ID, terms)"],
  ["escrow id: any chain", ESCROW, "abi.encode(CHAIN_ID, address(this), terms)", "abi.encode(address(this), terms)"],
  ["escrow id: lost when the chain splits", ESCROW, "abi.encode(CHAIN_ID, address(this), terms)", "abi.encode(block.chainid, address(this), terms)"],
  ["escrow lock: releases reenter", ESCROW, "        bytes calldata signature\n    ) external nonReentrant {\n        bytes32 id = _enter(terms, GRACE);\n        _requireNoDispute(id);", "        bytes calldata signature\n    ) external {\n        bytes32 id = _enter(terms, GRACE);\n        _requireNoDispute(id);"],
  ["escrow lock: settlements reenter", ESCROW, "        bytes calldata payeeSignature\n    ) external nonReentrant", "        bytes calldata payeeSignature\n    ) external"],
  ["escrow lock: resolutions reenter", ESCROW, "        bytes calldata signature\n    ) external nonReentrant {\n        bytes32 id = _enter(terms, GRACE);\n        if (_states[id].disputedAt", "        bytes calldata signature\n    ) external {\n        bytes32 id = _enter(terms, GRACE);\n        if (_states[id].disputedAt"],
  ["escrow lock: disputes reenter", ESCROW, "        external\n        nonReentrant\n    {\n        bytes32 id = _validId(terms);\n        State storage s = _states[id];", "        external\n    {\n        bytes32 id = _validId(terms);\n        State storage s = _states[id];"],
  ["escrow lock: expiries reenter", ESCROW, "function expire(Terms calldata terms) external nonReentrant", "function expire(Terms calldata terms) external"],
  ["escrow lock: sweeps reenter", ESCROW, "function sweep(Terms calldata terms) external nonReentrant", "function sweep(Terms calldata terms) external"],
  ["escrow lock: returns reenter", ESCROW, "address asset) external nonReentrant", "address asset) external"],
  ["escrow lock: claims reenter", ESCROW, "        external\n        nonReentrant\n    {\n        bytes32 id = _validId(terms);\n        if (msg.sender != party", "        external\n    {\n        bytes32 id = _validId(terms);\n        if (msg.sender != party"],
  ["escrow gate: anybody at once", ESCROW, "if (msg.sender != terms.operator && block.timestamp < until)", "if (false)"],
  ["escrow gate: never ends", ESCROW, "if (msg.sender != terms.operator && block.timestamp < until)", "if (msg.sender != terms.operator)"],
  ["escrow gate: ends at the expiry", ESCROW, "uint256 until = terms.expiry + patience;", "uint256 until = terms.expiry;"],
  ["escrow gate: sweeps", ESCROW, "        _requireOperatorUntil(terms, GRACE);\n        State storage s", "        State storage s"],
  ["escrow gate: returns", ESCROW, "        _requireOperatorUntil(terms, GRACE);\n        if (asset", "        if (asset"],
  ["escrow gate: no notice of the expiry", ESCROW, "_enter(terms, GRACE + NOTICE)", "_enter(terms, GRACE)"],
  ["escrow end: goes on", ESCROW, "if (_states[id].ended) revert", "if (false) revert"],
  ["escrow end: disputes go on", ESCROW, "if (s.ended) revert", "if (false) revert"],
  ["escrow end: never comes", ESCROW, "            s.ended = true;\n", ""],
  ["escrow end: not at a decision", ESCROW, "if (last || released", "if (released"],
  ["escrow end: not when all is paid", ESCROW, "if (last || released + refunded == _capped(terms.amount))", "if (last)"],
  ["escrow end: sweeps before", ESCROW, "if (!s.ended) revert", "if (false) revert"],
  ["escrow end: expires early", ESCROW, "if (block.timestamp < terms.expiry) revert", "if (false) revert"],
  ["escrow end: to the other party", ESCROW, "if (terms.paysAtExpiry)", "if (!terms.paysAtExpiry)"],
  ["escrow release: no oracle", ESCROW, "if (terms.oracle == address(0))", "if (false)"],
  ["escrow release: above the amount", ESCROW, "if (total > terms.amount)", "if (false)"],
  ["escrow release: unsigned", ESCROW, "        _requireSigned(\n            terms.oracle, keccak256(abi.encode(RELEASE_TYPEHASH, id, total, evidence)), signature\n        );", ""],
  ["escrow release: the total not signed", ESCROW, "abi.encode(RELEASE_TYPEHASH, id, total, evidence)", "abi.encode(RELEASE_TYPEHASH, id, uint256(0), evidence)"],
  ["escrow release: the evidence not signed", ESCROW, "abi.encode(RELEASE_TYPEHASH, id, total, evidence)", "abi.encode(RELEASE_TYPEHASH, id, total, bytes32(0))"],
  ["escrow release: again and again", ESCROW, "Math.min(total - released, _left(terms, id))", "Math.min(total, _left(terms, id))"],
  ["escrow release: nothing", ESCROW, "        if (amount == 0) revert EscrowErrorsLib.NothingToPay();\n\n        _divide", "        _divide"],
  ["escrow signatures: anybody's", ESCROW, "if (!SignatureChecker", "if (false && !SignatureChecker"],
  ["escrow settle: nothing", ESCROW, "if (toPayee == 0 && toPayer == 0) revert", "if (false) revert"],
  ["escrow settle: without the payer", ESCROW, "_requireSigned(terms.payer, message, payerSignature);", ""],
  ["escrow settle: without the payee", ESCROW, "_requireSigned(terms.payee, message, payeeSignature);", ""],
  ["escrow settle: a resolution's words", ESCROW, "_division(SETTLEMENT_TYPEHASH", "_division(RESOLUTION_TYPEHASH"],
  ["escrow divisions: good twice", ESCROW, "toPayer, paidBefore)", "toPayer, uint256(0))"],
  ["escrow divisions: releases not counted", ESCROW, "uint256(_states[id].released) + _states[id].refunded", "_states[id].refunded"],
  ["escrow divisions: refunds not counted", ESCROW, "uint256(_states[id].released) + _states[id].refunded", "_states[id].released"],
  ["escrow divisions: of any escrow", ESCROW, "abi.encode(typeHash, id,", "abi.encode(typeHash, bytes32(0),"],
  ["escrow divisions: more than is left", ESCROW, "if (toPayee > available || toPayer > available - toPayee)", "if (false)"],
  ["escrow divisions: the sum unseen", ESCROW, "toPayer > available - toPayee", "toPayer > available"],
  ["escrow dispute: too late", ESCROW, "if (block.timestamp >= terms.expiry)", "if (false)"],
  ["escrow dispute: without an arbiter", ESCROW, "if (terms.arbiter == address(0))", "if (false)"],
  ["escrow dispute: by anybody", ESCROW, "if (by != terms.payer && by != terms.payee)", "if (false)"],
  ["escrow dispute: again and again", ESCROW, "if (by == terms.payer ? s.disputedByPayer : s.disputedByPayee)", "if (false)"],
  ["escrow dispute: the payer's not kept", ESCROW, "if (by == terms.payer) s.disputedByPayer = true;\n        else s.disputedByPayee = true;", "if (by != terms.payer) s.disputedByPayee = true;"],
  ["escrow dispute: the payee's not kept", ESCROW, "        else s.disputedByPayee = true;", ""],
  ["escrow dispute: while one is open", ESCROW, "        _requireNoDispute(id);\n        if (msg.sender != by", "        if (msg.sender != by"],
  ["escrow dispute: in another's name", ESCROW, "if (msg.sender != by || signature.length != 0)", "if (signature.length != 0)"],
  ["escrow dispute: a bad signature in person", ESCROW, "if (msg.sender != by || signature.length != 0)", "if (msg.sender != by)"],
  ["escrow dispute: the reason not signed", ESCROW, "abi.encode(DISPUTE_TYPEHASH, id, reason)", "abi.encode(DISPUTE_TYPEHASH, id, bytes32(0))"],
  ["escrow dispute: not kept", ESCROW, "s.disputedAt = uint64(block.timestamp);", ""],
  ["escrow dispute: releases go on", ESCROW, "        _requireNoDispute(id);\n        if (terms.oracle", "        if (terms.oracle"],
  ["escrow dispute: expires all the same", ESCROW, "        _requireNoDispute(id);\n\n        uint256 amount", "        uint256 amount"],
  ["escrow dispute: never lapses", ESCROW, "if (disputedAt != 0 && block.timestamp < disputedAt + RESOLVE_TIME)", "if (disputedAt != 0)"],
  ["escrow resolve: what nobody disputed", ESCROW, "if (_states[id].disputedAt == 0)", "if (false)"],
  ["escrow resolve: without the arbiter", ESCROW, "        _requireSigned(\n            terms.arbiter, _division(RESOLUTION_TYPEHASH, id, toPayee, toPayer), signature\n        );", ""],
  ["escrow books: releases", ESCROW, "s.released = uint128(released);", ""],
  ["escrow books: refunds", ESCROW, "s.refunded = uint128(refunded);", ""],
  ["escrow left: what was paid", ESCROW, "_capped(terms.amount) - s.released - s.refunded", "_capped(terms.amount)"],
  ["escrow left: after the end", ESCROW, "if (s.ended) return 0;", ""],
  ["escrow left: beyond 128 bits", ESCROW, "return Math.min(amount, type(uint128).max);", "return amount;"],
  ["escrow left: what is owed", ESCROW, "Math.saturatingSub(_held(terms.asset, _purseOf(id)), _states[id].reserved)", "_held(terms.asset, _purseOf(id))"],
  ["escrow left: less than is owed", ESCROW, "Math.saturatingSub(_held(terms.asset, _purseOf(id)), _states[id].reserved)", "_held(terms.asset, _purseOf(id)) - _states[id].reserved"],
  ["escrow sweep: beyond 128 bits", ESCROW, "Math.min(_unreserved(terms, id), type(uint128).max - s.reserved)", "_unreserved(terms, id)"],
  ["escrow sweep: nothing", ESCROW, "        if (amount == 0) revert EscrowErrorsLib.NothingToPay();\n\n        emit Swept", "        emit Swept"],
  ["escrow owed: before the gate ends", ESCROW, "if (block.timestamp < terms.expiry + GRACE) {", "if (false) {"],
  ["escrow owed: never", ESCROW, "if (block.timestamp < terms.expiry + GRACE) {", "if (true) {"],
  ["escrow owed: for want of gas", ESCROW, "if (gasleft() < PAY_GAS_CAP + PAY_GAS_CAP / 63 + PAY_GAS_RESERVE)", "if (false)"],
  ["escrow owed: no gas cap", ESCROW, "try purse.pay{gas: PAY_GAS_CAP}", "try purse.pay"],
  ["escrow owed: not kept", ESCROW, "owed[id][to] += amount;", ""],
  ["escrow owed: not reserved", ESCROW, "_states[id].reserved += uint128(amount);", ""],
  ["escrow owed: not reported", ESCROW, "emit Owed(id, terms.order, to, amount);", ""],
  ["escrow claim: by anybody", ESCROW, "if (msg.sender != party && to != party)", "if (false)"],
  ["escrow claim: nobody for another", ESCROW, "if (msg.sender != party && to != party)", "if (msg.sender != party)"],
  ["escrow claim: to nowhere", ESCROW, "if (_isAstray(terms.asset, to))", "if (false)"],
  ["escrow claim: nothing", ESCROW, "        if (amount == 0) revert EscrowErrorsLib.NothingToPay();\n        uint256 due", "        uint256 due"],
  ["escrow claim: too much", ESCROW, "if (amount > due) revert EscrowErrorsLib.TooMuch(amount, due);\n\n        owed[id][party] = due - amount;", "owed[id][party] = amount > due ? 0 : due - amount;"],
  ["escrow claim: again and again", ESCROW, "owed[id][party] = due - amount;", ""],
  ["escrow claim: still reserved", ESCROW, "_states[id].reserved -= uint128(amount);", ""],
  // Not broken: that the asset is another by its address, which the comparison of balances repeats.
  ["escrow return: by its second address", ESCROW, "if (_held(terms.asset, purse) < held) revert EscrowErrorsLib.NotAnotherAsset(asset);", ""],
  ["escrow return: nothing", ESCROW, "        if (amount == 0) revert EscrowErrorsLib.NothingToPay();\n        uint256 held", "        uint256 held"],
  ["purse: anybody's", PURSE, "if (msg.sender != ESCROW)", "if (false)"],
  ["purse: what was refused", PURSE, "if (!paid || held", "if (held"],
  ["purse: what is only said", PURSE, " || held < amount || _balance(asset) > held - amount", ""],
  ["purse: takes nothing more", PURSE, "    receive() external payable {}\n", ""],
];

function prepare() {
  rmSync(WORK, { recursive: true, force: true });
  mkdirSync(join(WORK, "contracts"), { recursive: true });
  for (const name of ["src", "test", "foundry.toml", "solc.mjs"]) {
    cpSync(join(HERE, name), join(WORK, "contracts", name), { recursive: true });
  }
  symlinkSync(PACKAGES, join(WORK, "node_modules"));
}

// Vault and escrow share nothing, so each is asked by its own tests. The invariants take the longest,
// and are asked only when nothing else has noticed.
function suite(file) {
  return file === ESCROW || file === PURSE
    ? ["--match-path", "test/Escrow*"]
    : ["--no-match-path", "test/Escrow*"];
}

function forge(selection) {
  build();
  const quick = run(...selection, "--no-match-contract", "GasTest|InvariantsTest");
  return quick.status === 0 ? run(...selection, "--match-contract", "InvariantsTest") : quick;
}

function build() {
  const at = join(WORK, "contracts");
  const built = spawnSync(process.execPath,
    [join(HERE, "build.mjs"), "--legacy", "--src", at, "--out", at], { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`it does not compile:\n${built.stderr}`);
}

function run(...selection) {
  return spawnSync(FORGE, ["test", "--fail-fast", ...selection], {
    cwd: join(WORK, "contracts"),
    encoding: "utf8",
    env: { ...process.env, FOUNDRY_FUZZ_RUNS: "32", FOUNDRY_INVARIANT_RUNS: "16",
      FOUNDRY_INVARIANT_DEPTH: "48" },
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
for (const file of [VAULT, ESCROW]) {
  if (!chosen.some(([, other]) => `${suite(other)}` === `${suite(file)}`)) continue;
  const unbroken = killer(forge(suite(file)));
  if (unbroken) throw new Error(`${unbroken} fails without any mutation`);
}
const survivors = [];
for (const [name, file, guard, broken] of chosen) {
  const path = join(WORK, "contracts", file);
  const source = readFileSync(path, "utf8");
  if (!source.includes(guard)) throw new Error(`${name}: ${file} does not hold\n${guard}`);
  writeFileSync(path, source.replaceAll(guard, () => broken));
  const test = killer(forge(suite(file)));
  writeFileSync(path, source);
  console.log(`${test ? "killed  " : "SURVIVED"}  ${name}${test ? `  (${test})` : ""}`);
  if (!test) survivors.push(name);
}
console.log(`${chosen.length - survivors.length} of ${chosen.length} guards are missed when they are gone`);
process.exit(survivors.length ? 1 : 0);
