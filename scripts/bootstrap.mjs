// Installs the npm packages, compiles the TypeScript and bundles the program, each only when something changed.
// Plain JavaScript without packages: it runs before any is there.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isBuilt, modified, stamp } from "./built.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

const major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  console.error(`virtio-pstore needs Node.js 20 or later; this is ${process.version}`);
  process.exit(1);
}

function step(label, command, args) {
  console.error(`${label} …`);
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

if (modified("node_modules/.package-lock.json") < modified("package-lock.json")) {
  step("Installing npm packages", "npm", ["ci", "--no-audit", "--no-fund"]);
}

if (!isBuilt()) {
  step("Compiling", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "."]);
  step("Bundling", process.execPath, ["scripts/bundle.mjs"]);
  writeFileSync(stamp, "");
}
