import { expect, test } from "vitest";
import { Budget, type Kernel, Notes } from "../kernel/index.js";
import { CpuRecords, merged, newestFirst, recordsOf, type TraceRecord } from "./records.js";

const counts = { entries: 0n, overrun: 0n, dropped: 0n };
const LAYOUT = { timeStamp: 0, commit: 8, data: 16 };

test("a sub-buffer is decoded as its events are taken, and what is broken is told where it is reached", () => {
  const page = Buffer.alloc(4096);
  const event = (1 << 5) | 1;
  // Three events of 4 bytes, then one whose length goes beyond the end.
  for (let i = 0; i < 3; i++) page.writeUInt32LE(event, LAYOUT.data + 8 * i);
  page.writeUInt32LE(28, LAYOUT.data + 24);
  page.writeUInt32LE(24 + 8, LAYOUT.commit);
  const notes = new Notes();
  const buffer = { cpu: 0, pages: [page], read: 0, ...counts };
  const records = new CpuRecords(0, recordsOf(buffer, LAYOUT, notes));
  expect(records.take()?.time).toBe(1n);
  expect(records.take()?.time).toBe(2n);
  expect(notes.take()).toEqual([]);
  expect(records.take()?.time).toBe(3n);
  expect(records.take()).toBeUndefined();
  expect(notes.take()).toEqual([
    "CPU 0's ring buffer: a sub-buffer's rest is left out, as an event has 112 bytes",
  ]);
});

/** A sub-buffer of as many events, each a unit of time behind the other. */
function pageOf(time: bigint, count: number): Buffer {
  const page = Buffer.alloc(4096);
  page.writeBigUInt64LE(time, LAYOUT.timeStamp);
  page.writeUInt32LE(8 * count, LAYOUT.commit);
  for (let i = 0; i < count; i++) page.writeUInt32LE((1 << 5) | 1, LAYOUT.data + 8 * i);
  return page;
}

test("the newest events come first, and of what is older nothing is looked at", () => {
  const cpus = [0, 1, 2].map((cpu) => {
    const pages = [0, 100, 200].map((time) => pageOf(BigInt(time + 3 * (cpu % 2)), 5));
    return { cpu, pages, read: cpu === 2 ? 16 : 0, ...counts };
  });
  const buffer = { layout: LAYOUT, pageSize: 4096, cpus };
  const kernel = { budget: new Budget(), notes: new Notes() } as unknown as Kernel;
  const told = ({ cpu, time }: TraceRecord) => `${time} on CPU ${cpu}`;
  const newest = [...newestFirst(buffer, kernel)].map(told);
  const oldest = [...merged(buffer, new Notes())].map(({ record }) => told(record));
  expect(oldest).toHaveLength(43);
  expect(newest.reverse()).toEqual(oldest);
  const before = kernel.budget.left;
  expect(newestFirst(buffer, kernel).next().value).toMatchObject({ cpu: 1, time: 208n });
  expect(before - kernel.budget.left).toBeLessThan(10);
});
