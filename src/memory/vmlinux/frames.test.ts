import { expect, test } from "vitest";
import { readFrames } from "../../../test/support/read-dwarf.js";
import { MemoryError } from "../errors.js";
import type { OrcEntry } from "../kernel/index.js";
import { debugFrame, FRAME_REGISTERS } from "./frames.js";

const CALL: OrcEntry = {
  ...{ spRegister: "sp", spOffset: 8, bpRegister: "undefined", bpOffset: 0 },
  ...{ type: "call", signal: false },
};
const GAP: OrcEntry = { ...CALL, type: "undefined", spRegister: "undefined" };

/** As struct pt_regs has them. */
const OFFSETS = new Map([
  ...(["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8"] as const).map(
    (name, i) => [name, 8 * i] as const,
  ),
  ...(["ax", "cx", "dx", "si", "di"] as const).map((name, i) => [name, 80 + 8 * i] as const),
  ...([["ip", 128] as const, ["sp", 152] as const] as const),
]);

const TEXT = 0xffffffff81000000n;

const rowsOf = (...entries: readonly OrcEntry[]) =>
  readFrames(
    debugFrame(
      entries.map((entry, i) => [TEXT + BigInt(i * 16), entry] as const),
      OFFSETS,
    ).bytes,
  );

test.each([
  [CALL, { cfa: "7+8", 6: "same", 16: "[cfa-8]" }],
  [
    { ...CALL, spRegister: "bp", spOffset: 16, bpRegister: "previous-sp", bpOffset: -16 },
    { cfa: "6+16", 6: "[cfa-16]", 16: "[cfa-8]" },
  ],
  [{ ...CALL, spOffset: -8 }, { cfa: "7-8" }],
  [{ ...CALL, spRegister: "sp-indirect", spOffset: 8 }, { cfa: "[7+0]+8" }],
  [{ ...CALL, spRegister: "bp-indirect", spOffset: -40 }, { cfa: "[6-40]" }],
  [{ ...CALL, spRegister: "r10", spOffset: 0 }, { cfa: "10+0" }],
  [{ ...CALL, spRegister: "dx", spOffset: 0 }, { cfa: "1+0" }],
  [{ ...CALL, bpRegister: "bp", bpOffset: -24 }, { 6: "[6-24]" }],
] as const)("%j", (entry, rules) => {
  const [row] = rowsOf(entry, GAP);
  expect(row).toMatchObject({ address: TEXT, end: TEXT + 16n, augmentation: "", rules });
});

test("what an interrupt leaves has all registers, or its own, and the caller was interrupted", () => {
  const [all, own] = rowsOf(
    { ...CALL, type: "regs", spOffset: 0, signal: true },
    { ...CALL, type: "regs-partial", spOffset: 16, signal: true },
    GAP,
  );
  expect(all).toMatchObject({ augmentation: "zS", rules: { cfa: "7+0", 16: "[cfa+128]" } });
  expect(all?.rules).toMatchObject({ 7: "[cfa+152]", 6: "[cfa+32]", 0: "[cfa+80]", 15: "[cfa+0]" });
  expect(own?.rules).toEqual({ cfa: "7+16", 16: "[cfa+0]", 7: "[cfa+24]", 6: "" });
  expect(own?.augmentation).toBe("zS");
});

test("at a stack's bottom no register is known, and where nothing is known there is no row", () => {
  const rows = rowsOf({ ...CALL, type: "end" }, GAP, CALL, { ...CALL, spRegister: "previous-sp" });
  expect(rows.map(({ address }) => Number(address - TEXT))).toEqual([0, 32]);
  expect(Object.keys(rows[0]?.rules ?? {})).toHaveLength(1 + FRAME_REGISTERS.length);
  expect(rows[0]?.rules[16]).toBe("undefined");
  expect(rows[1]?.end).toBe(TEXT + 48n);
});

test("where nothing is known of two rows in turn, what follows is read as ever", () => {
  const rows = rowsOf(CALL, GAP, { ...GAP, spOffset: 16 }, CALL, GAP);
  expect(rows.map(({ address, end }) => [address - TEXT, end - TEXT])).toEqual([
    [0n, 16n],
    [48n, 64n],
  ]);
});

test("registers that aren't at words are refused", () => {
  const offsets = new Map([...OFFSETS, ["ip", 129] as const]);
  expect(() => debugFrame([[TEXT, { ...CALL, type: "regs" }]], offsets)).toThrow(MemoryError);
});

test("each of many rows is found by its address, however far they are apart", () => {
  const distances = [1, 63, 64, 255, 256, 65535, 65536, 70000];
  let address = TEXT;
  const entries = Array.from({ length: 2000 }, (_, i) => {
    address += BigInt(distances[i % distances.length] ?? 1);
    return [address, { ...CALL, spOffset: 8 * (1 + (i % 50)) }] as const;
  });
  const frames = debugFrame(entries, OFFSETS);
  expect(frames.rows).toBe(2000);
  const rows = readFrames(frames.bytes);
  expect(rows.map((row) => [row.address, row.rules.cfa])).toEqual(
    entries.map(([at, { spOffset }]) => [at, `7+${spOffset}`]),
  );
  for (const [i, row] of rows.entries()) expect(row.end).toBe(rows[i + 1]?.address ?? address + 1n);
});

test("rows that don't ascend are left out", () => {
  const other = { ...CALL, spOffset: 16 };
  const entries = [
    [TEXT + 16n, CALL],
    [TEXT, other],
    [TEXT + 16n, other],
    [TEXT + 32n, other],
  ] as const;
  const rows = readFrames(debugFrame(entries, OFFSETS).bytes);
  expect(rows.map((row) => [row.address - TEXT, row.rules.cfa])).toEqual([
    [16n, "7+8"],
    [32n, "7+16"],
  ]);
});
