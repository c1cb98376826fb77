// Compiles the contracts with the pinned solc and writes one artifact per contract, and the layout
// of the storage of those that hold money.
//
// Python never compiles: it reads the committed artifacts. So the output may depend on nothing but
// the sources, the compiler and the settings below: no absolute paths, no metadata hash, no dates.
//
//   node contracts/build.mjs                write contracts/artifacts/ and contracts/snapshots/
//   node contracts/build.mjs --out DIR      write both elsewhere, to compare
//   node contracts/build.mjs --src DIR      compile DIR/src instead (what mutate.mjs breaks)
//   node contracts/build.mjs --legacy       by the legacy pipeline, in a few seconds: other bytes, and
//                                           warnings do not count

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = join(HERE, "..", "node_modules");
const METADATA = { bytecodeHash: "none", appendCBOR: false };
// Transient storage (EIP-1153) is the newest instruction needed; every listed network has it.
const EVM = "cancun";

const LEGACY = process.argv.includes("--legacy");

const PRODUCT = {
  contracts: {
    "src/Vault.sol": "Vault", "src/Escrow.sol": "Escrow", "src/Purse.sol": "Purse",
    "src/DemoDollar.sol": "DemoDollar",
  },
  settings: {
    evmVersion: EVM, viaIR: !LEGACY, optimizer: { enabled: true, runs: 1_000_000 }, metadata: METADATA,
  },
};
// As most tokens on the networks were compiled; a faster token would flatter every figure.
const BENCH = {
  contracts: {
    "src/bench/BenchToken.sol": "BenchToken", "src/bench/PullAndTransfer.sol": "PullAndTransfer",
  },
  settings: { evmVersion: EVM, optimizer: { enabled: true, runs: 200 }, metadata: METADATA },
};
const LAYOUTS = ["Vault", "Escrow"];

const solc = createRequire(import.meta.url)("solc");

function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv[at + 1];
}

const root = option("--src") ?? HERE;

function readSource(name) {
  const path = name.startsWith("@") ? join(PACKAGES, name) : join(root, name);
  return existsSync(path) ? { contents: readFileSync(path, "utf8") } : { error: `no ${name}` };
}

function compile({ contracts, settings }) {
  const sources = {};
  for (const name of Object.keys(contracts)) sources[name] = { content: readSource(name).contents };
  const outputSelection = {
    "*": {
      "*": ["abi", "metadata", "storageLayout", "evm.bytecode.object", "evm.deployedBytecode.object",
        "evm.deployedBytecode.immutableReferences"],
    },
  };
  const input = { language: "Solidity", sources, settings: { ...settings, outputSelection } };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readSource }));
  // Warnings count as errors in our own sources; in a pinned library nobody here can act on them.
  const problems = (output.errors ?? []).filter((problem) => problem.severity === "error" ||
    !LEGACY && !problem.sourceLocation?.file.startsWith("@"));
  for (const problem of problems) console.error(problem.formattedMessage);
  if (problems.length) process.exit(1);
  return output.contracts;
}

function artifact(sourceName, contractName, compiled, settings) {
  const metadata = JSON.parse(compiled.metadata);
  const sourceHashes = {};
  for (const [name, source] of Object.entries(metadata.sources)) sourceHashes[name] = source.keccak256;
  return {
    contractName,
    sourceName,
    abi: compiled.abi,
    bytecode: `0x${compiled.evm.bytecode.object}`,
    deployedBytecode: `0x${compiled.evm.deployedBytecode.object}`,
    immutableReferences: compiled.evm.deployedBytecode.immutableReferences,
    compiler: { version: metadata.compiler.version, settings },
    sourceKeccak256: sourceHashes,
  };
}

// Slots, offsets and types, without the compiler's node numbers, which move with every edit.
function layout({ storage, types }) {
  const plain = (id) => types[id].label;
  const members = (list) => list.map(({ label, slot, offset, type }) =>
    ({ slot: Number(slot), offset, bytes: Number(types[type].numberOfBytes), label, type: plain(type) }));
  const structs = {};
  for (const type of Object.values(types)) if (type.members) structs[type.label] = members(type.members);
  return { storage: members(storage), structs };
}

function write(folder, name, content) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
  console.log(path);
}

const out = option("--out");
const artifacts = out ? join(out, "artifacts") : join(HERE, "artifacts");
const snapshots = out ? join(out, "snapshots") : join(HERE, "snapshots");
for (const group of [PRODUCT, BENCH]) {
  const compiled = compile(group);
  for (const [sourceName, contractName] of Object.entries(group.contracts)) {
    const output = compiled[sourceName][contractName];
    write(artifacts, `${contractName}.json`, artifact(sourceName, contractName, output, group.settings));
    if (LAYOUTS.includes(contractName)) {
      write(snapshots, `${contractName}.storage.json`, layout(output.storageLayout));
    }
  }
}
