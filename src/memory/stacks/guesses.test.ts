import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import { Budget, type Kernel } from "../kernel/index.js";
import type { Task } from "../tasks/index.js";
import { Stacks } from "./stacks.js";

const STACK_BYTES = 256 << 10;
const TEXT = 0x1800n;

/** A kernel without unwind tables, with stacks as large as there may be, full of addresses of code. */
function lyingKernel(): Kernel {
  const symbols = new Map([
    ["_stext", 0x1000n],
    ["_etext", 0x2000n],
  ]);
  const type = { offset: () => 0, size: 0 };
  const stack = Buffer.alloc(STACK_BYTES);
  for (let at = 0; at < STACK_BYTES; at += 8) stack.writeBigUInt64LE(TEXT, at);
  return {
    budget: new Budget(),
    symbols: { address: (name: string) => symbols.get(name), at: () => undefined },
    types: { size: () => STACK_BYTES },
    expectTypes: () => ({ expect: () => type }),
    modules: [],
    orc: undefined,
    read: () => stack,
  } as unknown as Kernel;
}

test("stacks full of what may be return addresses are read as far as there is budget", () => {
  const kernel = lyingKernel();
  const stacks = new Stacks(kernel);
  const task = { isRunning: false, struct: { pointer: () => 0x100000n } } as unknown as Task;
  let frames = 0;
  expect(() => {
    for (let i = 0; i < 1000; i++) frames += stacks.of(task).frames.length;
  }).toThrow(MemoryError);
  expect(frames).toBeGreaterThan(STACK_BYTES / 8);
  expect(frames).toBeLessThan(300_000);
});
