import { expect, test } from "vitest";
import { InputTimes } from "./input-time.js";
import { Broken } from "./target.js";

const MOST_MS = 100;

test("an input that takes too long of a processor breaks a rule", () => {
  const times = new InputTimes(MOST_MS);
  expect(times.run(() => "quick")).toBe("quick");
  const spin = () => {
    const before = process.cpuUsage();
    while (process.cpuUsage(before).user < 2 * MOST_MS * 1000);
    return "slow";
  };
  expect(() => times.run(spin)).toThrow(Broken);
  expect(times.slowestMs).toBeGreaterThan(MOST_MS);
});

test("an input that gets no processor doesn't", () => {
  const times = new InputTimes(MOST_MS);
  const sleep = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * MOST_MS);
    return "asleep";
  };
  expect(times.run(sleep)).toBe("asleep");
});
