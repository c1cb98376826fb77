// Compiles the contracts with the pinned solc and writes one artifact per contract.
//
// Python never compiles: it reads the committed artifacts. So the output may depend on nothing but
// the sources, the compiler and the settings below: no absolute paths, no metadata hash, no dates.
//
//   node contracts/build.mjs                write contracts/artifacts/
//   node contracts/build.mjs --out DIR      write elsewhere, to compare

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = join(HERE, "..", "node_modules");
const CONTRACTS = { "src/Vault.sol": "Vault", "src/DemoDollar.sol": "DemoDollar" };
const SETTINGS = {
  // Transient storage (EIP-1153) is the newest instruction needed; every listed network has it.
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1_000_000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

const solc = createRequire(import.meta.url)("solc");

function readSource(name) {
  const path = name.startsWith("@") ? join(PACKAGES, name) : join(HERE, name);
  return existsSync(path) ? { contents: readFileSync(path, "utf8") } : { error: `no ${name}` };
}

function compile() {
  const sources = {};
  for (const name of Object.keys(CONTRACTS)) sources[name] = { content: readSource(name).contents };
  const outputSelection = {
    "*": {
      "*": ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode.object",
        "evm.deployedBytecode.immutableReferences"],
    },
  };
  const input = { language: "Solidity", sources, settings: { ...SETTINGS, outputSelection } };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readSource }));
  // Warnings count as errors in our own sources; in a pinned library nobody here can act on them.
  const problems = (output.errors ?? []).filter(
    (problem) => problem.severity === "error" || !problem.sourceLocation?.file.startsWith("@"));
  for (const problem of problems) console.error(problem.formattedMessage);
  if (problems.length) process.exit(1);
  return output.contracts;
}

function artifact(sourceName, contractName, compiled) {
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
    compiler: { version: metadata.compiler.version, settings: SETTINGS },
    sourceKeccak256: sourceHashes,
  };
}

const flag = process.argv.indexOf("--out");
const folder = flag < 0 ? join(HERE, "artifacts") : process.argv[flag + 1];
mkdirSync(folder, { recursive: true });
const compiled = compile();
for (const [sourceName, contractName] of Object.entries(CONTRACTS)) {
  const built = artifact(sourceName, contractName, compiled[sourceName][contractName]);
  const path = join(folder, `${contractName}.json`);
  writeFileSync(path, `${JSON.stringify(built, null, 2)}\n`);
  console.log(path);
}
