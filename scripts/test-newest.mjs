// Runs the unit tests and the conformance suite on the newest Node that is supported, which npm brings to .vm.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSION = "26.12.1";

const USAGE = `usage: npm run test:newest

Runs the unit tests and the conformance suite on Node ${VERSION}, which npm brings to .vm. Takes 6 minutes.`;
const [given] = process.argv.slice(2);
if (given === "--help" || given === "-h") {
  console.log(USAGE);
  process.exit(0);
}
if (given !== undefined) {
  console.error(USAGE);
  process.exit(1);
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// Not npm's package `node`: that one's installer calls npm itself.
const name = `node-linux-${process.arch}`;
const folder = join(root, ".vm", `node-${VERSION}`);
const bin = join(folder, "node_modules", name, "bin");
const node = join(bin, "node");

/** Ends this process where the command fails. */
function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

const isThere = () =>
  spawnSync(node, ["--version"], { encoding: "utf8" }).stdout === `v${VERSION}\n`;

if (!isThere()) {
  console.error(`Getting Node ${VERSION} …`);
  const options = ["--prefix", folder, "--no-save", "--no-audit", "--no-fund"];
  run("npm", ["install", ...options, `${name}@${VERSION}`]);
}
// The program and the scripts that tests start find it by PATH.
const projects = ["--project", "unit", "--project", "slow"];
run(node, ["node_modules/vitest/vitest.mjs", "run", ...projects], {
  ...process.env,
  PATH: `${bin}:${process.env.PATH}`,
});
