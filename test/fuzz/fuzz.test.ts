import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { LONG } from "../support/patience.js";
import { TARGETS } from "./targets.js";

const INPUTS = LONG ? 2_000_000 : 1_000_000;

/** Fewer, where an input takes longer: a whole kernel some 4 ms, a core half a millisecond. */
const FEWER: Readonly<Record<string, number>> = {
  kernels: LONG ? 50_000 : 5_000,
  cores: LONG ? 500_000 : 100_000,
};

const inputsOf = (target: string): number => FEWER[target] ?? INPUTS;

const program = join(import.meta.dirname, "../../dist/test/fuzz/main.js");
const run = promisify(execFile);

describe("fuzz", () => {
  test.each(Object.keys(TARGETS).map((target) => [inputsOf(target), target] as const))(
    "%i inputs to %s break no rule, and a good guest is served after them",
    async (inputs, target) => {
      const args = [program, "--target", target, "--inputs", `${inputs}`];
      const { stdout } = await run(process.execPath, args);
      process.stdout.write(stdout);
      expect(stdout).toContain(`${target}: ${inputs} inputs`);
    },
  );
});
