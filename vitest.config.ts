import { defineConfig } from "vitest/config";
import { TEST_PATIENCE_MS } from "./test/support/patience.js";

/**
 * unit: beside the code, and the conformance suite over real sockets; no virtual machine.
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
          include: [
            "src/**/*.test.ts",
            "test/conformance/**/*.test.ts",
            "test/cli/**/*.test.ts",
            "test/package/**/*.test.ts",
          ],
          testTimeout: TEST_PATIENCE_MS,
          hookTimeout: TEST_PATIENCE_MS,
          maxWorkers: "100%",
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
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
          testTimeout: 0,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "vm",
          include: ["test/vm/**/*.test.ts"],
          globalSetup: "test/vm/setup.ts",
          testTimeout: TEST_PATIENCE_MS,
          hookTimeout: TEST_PATIENCE_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
