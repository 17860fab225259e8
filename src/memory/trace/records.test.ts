import { expect, test } from "vitest";
import { Notes } from "../kernel/notes.js";
import { CpuRecords } from "./records.js";

const LAYOUT = { timeStamp: 0, commit: 8, data: 16 };

test("a sub-buffer is decoded as its events are taken, and what is broken is told where it is reached", () => {
  const page = Buffer.alloc(4096);
  const event = (1 << 5) | 1;
  // Three events of 4 bytes, then one whose length goes beyond the end.
  for (let i = 0; i < 3; i++) page.writeUInt32LE(event, LAYOUT.data + 8 * i);
  page.writeUInt32LE(28, LAYOUT.data + 24);
  page.writeUInt32LE(24 + 8, LAYOUT.commit);
  const notes = new Notes();
  const counts = { entries: 0n, overrun: 0n, dropped: 0n };
  const records = new CpuRecords({ cpu: 0, pages: [page], read: 0, ...counts }, LAYOUT, notes);
  expect(records.take()?.time).toBe(1n);
  expect(records.take()?.time).toBe(2n);
  expect(notes.take()).toEqual([]);
  expect(records.take()?.time).toBe(3n);
  expect(records.take()).toBeUndefined();
  expect(notes.take()).toEqual([
    "CPU 0's ring buffer: a sub-buffer's rest is left out, as an event has 112 bytes",
  ]);
});
