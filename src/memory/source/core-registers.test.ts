import { expect, test } from "vitest";
import { coreNotes } from "../vmcore/notes.js";
import { coreRegisters } from "./core-registers.js";

/** struct user_regs_struct: its registers are numbered from `first` on. */
const registers = (first: number) => Array.from({ length: 27 }, (_, i) => BigInt(first + i));

const facts = {
  ...{ vmcoreInfo: Buffer.from("OSRELEASE=6.1.0\n"), directMap: 0n, physBase: 0n, uts: [] },
  image: { virtual: 0n, physical: 0, size: 0 },
};

test("each CPU's registers are read from a core's notes", () => {
  const found = coreRegisters(coreNotes({ ...facts, registers: [registers(0), registers(100)] }));
  expect([...found.keys()]).toEqual([0, 1]);
  expect(found.get(1)).toEqual({
    ...{ r13: 102n, bp: 104n, r10: 107n, ax: 110n, dx: 112n, di: 114n },
    ...{ ip: 116n, cs: 117n, flags: 118n, sp: 119n },
  });
});

test("notes that are cut off, or claim any size, end", () => {
  const notes = coreNotes({ ...facts, registers: [registers(0), registers(100)] });
  for (let size = 0; size < notes.length; size++) {
    expect(coreRegisters(notes.subarray(0, size)).size).toBeLessThanOrEqual(2);
  }
  expect(coreRegisters(notes.subarray(0, 400)).size).toBe(1);
  for (const at of [0, 4]) {
    const lying = Buffer.from(notes);
    lying.writeUInt32LE(0xffffffff, at);
    expect(coreRegisters(lying).size).toBe(0);
  }
});
