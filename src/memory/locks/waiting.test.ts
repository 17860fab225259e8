import { expect, test } from "vitest";
import { Budget, type Kernel } from "../kernel/index.js";
import { WaitingFrames } from "./waiting.js";

const TEXT = 0xffff_ffff_8100_0000n;

test("a word of a stack costs a symbol's name once, and only where code may be", () => {
  const budget = new Budget();
  let names = 0;
  const symbols = {
    at: (address: bigint) => {
      names++;
      return { name: address === TEXT ? "__mutex_lock.constprop.0" : "schedule" };
    },
  };
  const frames = new WaitingFrames({ budget, symbols } as unknown as Kernel);
  const before = budget.left;
  for (let i = 0; i < 100; i++) {
    expect(frames.kindAt(TEXT + 1n)?.type).toBe("mutex");
    expect(frames.kindAt(TEXT + 2n)).toBeUndefined();
    expect(frames.kindAt(0xffff_8880_0000_0000n)).toBeUndefined();
  }
  expect(names).toBe(2);
  expect(before - budget.left).toBe(8);
});
