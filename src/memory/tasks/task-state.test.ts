import { expect, test } from "vitest";
import { isBlocked, stateLetter } from "./task-state.js";

test.each([
  ["R", "a running task", 0, 0, false],
  ["S", "a sleeping one", 0x1, 0, false],
  ["S", "one that sleeps and may be frozen", 0x2001, 0, false],
  ["D", "an uninterruptible one", 0x2, 0, true],
  ["D", "one that a deadly signal ends (TASK_KILLABLE)", 0x102, 0, true],
  ["D", "one that waits for a lock of PREEMPT_RT", 0x1000, 0, true],
  ["D", "a frozen one", 0x8000, 0, false],
  ["I", "an idle worker", 0x402, 0, false],
  ["P", "a parked one", 0x40, 0, false],
  ["T", "a stopped one", 0x104, 0, false],
  ["t", "a traced one", 0x8, 0, false],
  ["Z", "a zombie", 0x80, 0x20, false],
  ["X", "a dead one", 0x80, 0x10, false],
] as const)("%s is %s", (letter, _, state, exitState, blocked) => {
  expect(stateLetter(state, exitState)).toBe(letter);
  expect(isBlocked(state, exitState)).toBe(blocked);
});
