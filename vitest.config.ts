import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { TEST_PATIENCE_MS } from "./test/support/patience.js";

/** What a slow test imports: processes, inputs by the thousand, or a whole suite that other files have, too. */
const SLOW =
  /from "(?:fast-check|node:child_process|.*\/support\/compressed\.js|\.\/front-ends\.js)"/;

const isSlow = (file: string): boolean =>
  /^test\/(?:cli|package)\//.test(file) || SLOW.test(readFileSync(file, "utf8"));

const tests = ["src", "test/conformance", "test/cli", "test/package"].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join(folder, name)),
);

/**
 * unit: beside the code, and the conformance suite over real sockets; no process and no virtual machine.
 * slow: likewise, with processes, kills and properties; the program that is published.
 * fuzz: a million inputs to whatever reads what guests and front-ends send; behind the others, as it takes all cores.
 * soak: many guests and a daemon that is killed; beside it, as it waits most of the time.
 * vm: a real kernel under QEMU or user-mode-linux, most of them with one processor; two at a time.
 *
 * With LONG=1 (npm run test:all) there are more inputs, a longer soak, and a daemon is killed at every step.
 */
export default defineConfig({
  test: {
    reporters: ["default", "./test/support/closing-count.ts"],
    projects: [
      {
        test: {
          name: "unit",
          include: tests.filter((file) => !isSlow(file)),
          testTimeout: TEST_PATIENCE_MS,
          hookTimeout: TEST_PATIENCE_MS,
          maxWorkers: "100%",
        },
      },
      {
        test: {
          name: "slow",
          include: tests.filter(isSlow),
          globalSetup: "scripts/built.mjs",
          testTimeout: TEST_PATIENCE_MS,
          hookTimeout: TEST_PATIENCE_MS,
          maxWorkers: "100%",
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
          globalSetup: "scripts/built.mjs",
          // It looks itself whether anything hangs, and so does the soak.
          testTimeout: 0,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "soak",
          include: ["test/soak/**/*.test.ts"],
          globalSetup: "scripts/built.mjs",
          testTimeout: 0,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "vm",
          include: ["test/vm/**/*.test.ts"],
          globalSetup: ["scripts/built.mjs", "test/vm/setup.ts"],
          testTimeout: TEST_PATIENCE_MS,
          hookTimeout: TEST_PATIENCE_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
