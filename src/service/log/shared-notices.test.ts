import { expect, test } from "vitest";
import { SharedNotices } from "./shared-notices.js";

const UNSEALED = { level: "warn", code: "UNSEALED_MEMORY", message: "it isn't sealed" } as const;

function noticing() {
  const told: string[] = [];
  const tasks: { readonly atMs: number; readonly task: () => void }[] = [];
  let nowMs = 0;
  const notices = new SharedNotices({
    tell: (guest, { message }) => told.push(`${guest}: ${message}`),
    after: (delayMs, task) => tasks.push({ atMs: nowMs + delayMs, task }),
  });
  const wait = (seconds: number) => {
    nowMs += seconds * 1000;
    for (const due of tasks.filter(({ atMs }) => atMs <= nowMs)) {
      tasks.splice(tasks.indexOf(due), 1);
      due.task();
    }
  };
  const come = (...guests: readonly string[]) =>
    guests.map((guest) => notices.take(guest, UNSEALED));
  return { told, notices, wait, come };
}

test("is told at once for the first guest, then of the others how many there are", () => {
  const { told, come, wait } = noticing();
  come("a", "b", "c", "a", "b");
  expect(told).toEqual(["a: it isn't sealed"]);
  wait(10);
  expect(told.slice(1)).toEqual([": 2 more guests, 3 since the start: it isn't sealed"]);
  wait(10_000);
  expect(told).toHaveLength(2);
});

test("a guest that comes again, as those of one do, is no other", () => {
  const { told, come, wait } = noticing();
  for (let i = 0; i < 5; i++) {
    come("a");
    wait(10);
  }
  expect(told).toEqual(["a: it isn't sealed"]);
});

test("those that come later are told of once an hour at most", () => {
  const { told, come, wait } = noticing();
  come("a");
  wait(60);
  come("b");
  wait(10);
  expect(told.slice(1)).toEqual([": 1 more guest, 2 since the start: it isn't sealed"]);
  come("c", "d");
  wait(3500);
  expect(told).toHaveLength(2);
  wait(100);
  expect(told.slice(2)).toEqual([": 2 more guests, 4 since the start: it isn't sealed"]);
});

test("leaves what is about one guest to that", () => {
  const { notices, told } = noticing();
  expect(notices.take("a", { ...UNSEALED, code: "DROPPED" })).toBe(false);
  expect(told).toEqual([]);
});
