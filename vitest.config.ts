import { defineConfig } from "vitest/config";

/**
 * unit: beside the code, and the conformance suite over real sockets; no virtual machine.
 * fuzz: a million inputs to whatever reads what guests and front-ends send; behind the others, as it takes all cores.
 * soak: two minutes of many guests and a daemon that is killed; beside it, as it waits most of the time.
 * vm: a real kernel under QEMU or user-mode-linux, most of them with one processor; two at a time.
 */
export default defineConfig({
  test: {
    reporters: ["default", "./test/support/closing-count.ts"],
    projects: [
      {
        test: {
          name: "unit",
          include: ["src/**/*.test.ts", "test/conformance/**/*.test.ts", "test/cli/**/*.test.ts"],
          testTimeout: 20_000,
          maxWorkers: "100%",
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
          testTimeout: 1_800_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "soak",
          include: ["test/soak/**/*.test.ts"],
          testTimeout: 600_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "vm",
          include: ["test/vm/**/*.test.ts"],
          globalSetup: "test/vm/setup.ts",
          testTimeout: 180_000,
          hookTimeout: 180_000,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
