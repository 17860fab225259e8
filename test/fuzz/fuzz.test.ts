import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { LONG } from "../support/patience.js";
import { TARGETS } from "./targets.js";

const INPUTS = LONG ? 2_000_000 : 1_000_000;

const program = join(import.meta.dirname, "../../dist/test/fuzz/main.js");
const run = promisify(execFile);

describe("fuzz", () => {
  test.each(Object.keys(TARGETS))(
    `${INPUTS} inputs to %s break no rule, and a good guest is served after them`,
    async (target) => {
      const args = [program, "--target", target, "--inputs", `${INPUTS}`];
      const { stdout } = await run(process.execPath, args);
      process.stdout.write(stdout);
      expect(stdout).toContain(`${target}: ${INPUTS} inputs`);
    },
  );
});
