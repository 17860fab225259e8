import { defineConfig } from "vitest/config";

/**
 * unit: beside the code, and the conformance suite over real sockets; no virtual machine.
 * fuzz: a million inputs to whatever reads what guests and front-ends send; alone, behind the others.
 * soak: two minutes of many guests and a daemon that is killed; alone, too.
 * vm: a real kernel under QEMU or user-mode-linux; one at a time, because the machine is small.
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
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
          testTimeout: 1_800_000,
          // It takes all cores.
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "soak",
          include: ["test/soak/**/*.test.ts"],
          testTimeout: 600_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "vm",
          include: ["test/vm/**/*.test.ts"],
          globalSetup: "test/vm/setup.ts",
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
