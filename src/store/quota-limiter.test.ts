import { mkdtempSync, readdirSync, rmSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DirectoryStore } from "./directory-store.js";
import { DEFAULT_QUOTAS } from "./quota.js";
import type { StoreOptions } from "./store-options.js";

const BOOT = "a".repeat(32);

let directory: string;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "performance"], now: new Date("2026-01-01T12:00:00Z") });
  directory = mkdtempSync(join(tmpdir(), "pstore-quota-"));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true });
});

const ids = () =>
  readdirSync(directory)
    .flatMap((name) => /^dmesg-([0-9]+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** A store with quota for 20 records, in turns that are over at once; and what it has left for others. */
function opened(options: StoreOptions = {}) {
  const tasks: (() => void)[] = [];
  const quotas = { ...DEFAULT_QUOTAS, dmesg: { records: 20, bytes: 1 << 20 } };
  const store = new DirectoryStore(directory, {
    quotas,
    isTurnOver: () => true,
    after: (_delayMs, task) => tasks.push(task),
    ...options,
  });
  const write = (line: string, pauseMs: number) => {
    vi.advanceTimersByTime(pauseMs);
    let turns = 0;
    const data = [Buffer.from(`${line}\n`)];
    while (!store.isReadyFor("dmesg", data)) turns++;
    store.write("dmesg", false, data);
    store.commit(({ writes }) => {
      expect(writes).toEqual([0]);
    });
    // What reads the directory takes a record's time from its file.
    const seconds = Date.now() / 1000;
    utimesSync(join(directory, `dmesg-${store.lastId}`), seconds, seconds);
    return turns;
  };
  /** Three dumps of one part, one of nine, and the newest eight, all in one hour. */
  const fill = () => {
    for (let count = 1; count <= 3; count++) write(`Oops#${count} Part1`, 1000);
    for (let part = 1; part <= 9; part++) write(`Oops#4 Part${part} boot=${BOOT}`, 10);
    for (let count = 5; count <= 12; count++) write(`Oops#${count} Part1`, 60_000);
  };
  return { store, tasks, write, fill };
}

test("a dump of many parts goes as one, in as many turns as it takes", () => {
  const { store, tasks, write, fill } = opened();
  fill();
  expect(ids()).toEqual(range(1, 20));
  tasks.length = 0;
  write("Oops#13 Part1", 60_000);
  // As many as have to.
  expect(ids()).toEqual([1, 2, 3, ...range(5, 21)]);
  for (let turns = 1; turns <= 7; turns++) {
    tasks.shift()?.();
    expect(ids()).toEqual([1, 2, 3, ...range(5 + turns, 21)]);
  }
  tasks.shift()?.();
  expect(ids()).toEqual([1, 2, 3, ...range(13, 21)]);
  expect(tasks).toEqual([]);
  store.close();
});

test("a record that many have to go for is stored first, and the next one when they are gone", () => {
  const { store, tasks, write, fill } = opened({
    quotas: { ...DEFAULT_QUOTAS, dmesg: { records: 1000, bytes: 2200 } },
  });
  fill();
  for (let count = 13; count <= 102; count++) write(`Oops#${count} Part1`, 1000);
  tasks.length = 0;
  const before = ids().length;
  const large = [Buffer.alloc(1000, "Oops#103 Part1\n")];
  vi.advanceTimersByTime(60_000);
  while (!store.isReadyFor("dmesg", large));
  store.write("dmesg", false, large);
  store.commit(({ writes }) => {
    expect(writes).toEqual([0]);
  });
  // One of them, and one more in each turn.
  expect(ids().length).toBe(before);
  expect(tasks.length).toBe(1);
  expect(write("Oops#104 Part1", 10)).toBeGreaterThan(10);
  expect(store.usage("dmesg").used.bytes).toBeLessThanOrEqual(2200);
  expect(tasks.length).toBe(1);
  store.close();
});

test("what is over the bounds, which are lower than they were, goes in as many turns as it takes", () => {
  const first = opened({ quotas: DEFAULT_QUOTAS });
  first.fill();
  for (let count = 13; count <= 52; count++) first.write(`Oops#${count} Part1`, 1000);
  first.store.close();
  expect(ids().length).toBe(60);
  const { store, write } = opened();
  vi.advanceTimersByTime(60_000);
  const data = [Buffer.from("Oops#53 Part1\n")];
  let most = 0;
  for (let ready = false, left = ids().length; !ready; left = ids().length) {
    ready = store.isReadyFor("dmesg", data);
    most = Math.max(most, left - ids().length);
  }
  expect(most).toBe(1);
  write("Oops#53 Part1", 10);
  expect(ids().length).toBe(20);
  expect(ids().slice(-1)).toEqual([61]);
  store.close();
});

test("what is going makes room before anything else has to", () => {
  const { store, tasks, write, fill } = opened();
  fill();
  tasks.length = 0;
  for (let count = 13; count <= 21; count++) write(`Oops#${count} Part1`, 60_000);
  expect(ids()).toEqual([1, 2, 3, ...range(13, 29)]);
  store.close();
});

test("the first write to a full quota waits for what it has to know, the next ones for little", () => {
  const first = opened();
  first.fill();
  first.store.close();
  const { store, write } = opened();
  expect(write("Oops#13 Part1", 60_000)).toBeGreaterThan(20);
  expect(write("Oops#14 Part1", 10)).toBeLessThan(10);
  store.close();
});

test("files that their owner removes, and removes amid all this, are quota like any other", () => {
  const { store, tasks, write, fill } = opened();
  fill();
  write("Oops#13 Part1", 60_000);
  unlinkSync(join(directory, "dmesg-7"));
  while (tasks.length > 0) tasks.shift()?.();
  expect(ids()).toEqual([1, 2, 3, ...range(13, 21)]);
  unlinkSync(join(directory, "dmesg-14"));
  for (let count = 14; count <= 22; count++) write(`Oops#${count} Part1`, 60_000);
  expect(ids()).toEqual([1, 2, 3, 13, ...range(15, 30)]);
  store.close();
});

test("a record whose id the owner's file takes amid its write gets the next one", () => {
  const { store, write, fill } = opened();
  fill();
  writeFileSync(join(directory, "dmesg-1000"), "put there by hand");
  vi.advanceTimersByTime(60_000);
  // Nobody asked isReadyFor().
  store.write("dmesg", false, [Buffer.from("Oops#13 Part1\n")]);
  store.commit(({ writes }) => {
    expect(writes).toEqual([0]);
  });
  expect(ids().slice(-2)).toEqual([1000, 1001]);
  write("Oops#14 Part1", 60_000);
  store.close();
});
