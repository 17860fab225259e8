import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { LONG } from "../support/patience.js";
import { TARGETS } from "./targets.js";

const INPUTS = LONG ? 2_000_000 : 1_000_000;

/** Each input of this target is a whole kernel, which takes a millisecond or more. */
const KERNELS = LONG ? 50_000 : 5_000;

const inputsOf = (target: string): number => (target === "kernels" ? KERNELS : INPUTS);

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
