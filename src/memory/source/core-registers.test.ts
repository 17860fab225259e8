import { expect, test } from "vitest";
import { USER_REGISTER_NAMES, type UserRegisters } from "../registers.js";
import { coreNotes } from "../vmcore/notes.js";
import { coreRegisters } from "./core-registers.js";

/** Numbered from `first` on. */
const registers = (first: number): UserRegisters => {
  const numbered = USER_REGISTER_NAMES.map((name, i) => [name, BigInt(first + i)] as const);
  return Object.fromEntries(numbered) as Record<keyof UserRegisters, bigint>;
};

const facts = {
  ...{ vmcoreInfo: Buffer.from("OSRELEASE=6.1.0\n"), directMap: 0n, physBase: 0n, uts: [] },
  image: { virtual: 0n, physical: 0, size: 0 },
};

test("each CPU's registers are read from a core's notes", () => {
  const found = coreRegisters(coreNotes({ ...facts, registers: [registers(0), registers(100)] }));
  expect([...found.keys()]).toEqual([0, 1]);
  expect(found.get(1)).toEqual(registers(100));
  // Where they are in struct user_regs_struct.
  expect(found.get(1)).toMatchObject({ r15: 100n, ip: 116n, sp: 119n, gs: 126n });
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
