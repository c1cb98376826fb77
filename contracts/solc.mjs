#!/usr/bin/env node
// What forge expects of a compiler, over the solc that npm brings: forge asks `--version`, then
// sends standard JSON to `--standard-json`. (npm's own `solcjs` refuses forge's `--allow-paths`.)

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

const solc = createRequire(import.meta.url)("solc");

// Names that forge did not resolve itself are relative to its root, which is this folder.
function readSource(name) {
  const path = join(HERE, name);
  return existsSync(path) ? { contents: readFileSync(path, "utf8") } : { error: `no ${name}` };
}

if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${solc.version().replace(".Emscripten.clang", ".Linux.g++")}`);
} else {
  process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: readSource }));
}
