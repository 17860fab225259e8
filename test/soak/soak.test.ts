import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { LONG } from "../support/patience.js";

const ROUNDS = LONG ? 100 : 20;

const program = join(import.meta.dirname, "../../dist/test/soak/main.js");
const run = promisify(execFile);

test(`soak: 200 guests, a daemon that is killed ${ROUNDS} times and a full disk, and nothing acknowledged is lost`, async () => {
  const { stdout } = await run(process.execPath, [program, "--rounds", `${ROUNDS}`]);
  process.stdout.write(stdout);
  expect(stdout).toContain("everything acknowledged is there, whole and once");
});
