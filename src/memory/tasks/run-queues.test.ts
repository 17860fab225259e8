import { expect, test } from "vitest";
import { RunQueues } from "./run-queues.js";

test("of 8,192 CPUs' run queues a task's is found without a look at all of them", () => {
  let looks = 0;
  const list = Array.from({ length: 8192 }, (_, cpu) => ({
    get current() {
      looks++;
      return BigInt(cpu * 64);
    },
    ...{ cpu, idle: 0n, clock: BigInt(cpu % 100), taskClock: 0n, running: 1 },
  }));
  const queues = new RunQueues(list);
  looks = 0;
  expect(queues.isRunning(64n * 8191n)).toBe(true);
  expect(queues.isRunning(65n)).toBe(false);
  expect(queues.of(8191)).toBe(list[8191]);
  expect(queues.of(8192)).toBeUndefined();
  expect(queues.latestClock).toBe(99n);
  expect(looks).toBe(0);
});
