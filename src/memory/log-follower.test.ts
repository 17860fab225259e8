import { expect, test } from "vitest";
import { tinyKernel } from "../../test/support/tiny-kernel.js";
import { openKernel } from "./kernel/index.js";
import { KernelLog, type LogEntry } from "./log.js";
import { LogFollower } from "./log-follower.js";

const texts = (entries: readonly LogEntry[]): string[] =>
  entries.map((entry) => ("lost" in entry ? `${entry.lost} lost` : entry.text.toString("latin1")));

test("a log with more messages than a poll has comes in several", () => {
  const messages = ["a", "b", "c", "d", "e"];
  const { memory } = tinyKernel({ messages });
  const follower = new LogFollower(memory, openKernel(memory), 2);
  const polls = Array.from({ length: 4 }, () => texts(follower.poll().entries));
  expect(polls).toEqual([["a", "b"], ["c", "d"], ["e"], []]);
});

test("a log's text costs of the budget: records that overlap could have the same again and again", () => {
  const cost = (length: number): number => {
    const { memory } = tinyKernel({ messages: ["x".repeat(length)] });
    const kernel = openKernel(memory);
    const before = kernel.budget.left;
    expect([...new KernelLog(kernel).entries()]).toHaveLength(1);
    return before - kernel.budget.left;
  };
  expect(cost(200) - cost(8)).toBeGreaterThan(0.3);
});
