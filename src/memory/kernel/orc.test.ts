import { expect, test } from "vitest";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { Budget } from "./budget.js";
import { openKernel } from "./open-kernel.js";
import { Orc, type OrcSource } from "./orc.js";
import type { Symbols } from "./symbols.js";

const ENTRY_BYTES = 6;
const IPS = 0x1000_0000n;
const ENTRIES = 0x2000_0000n;

/** Tables of a byte of code each, in which so many entries differ: in a frame's end, up to 65,536, and a register's place. */
function tables(count: number, different: number): { readonly orc: Orc; readonly budget: Budget } {
  const ips = Buffer.alloc(count * 4);
  const entries = Buffer.alloc(count * ENTRY_BYTES);
  for (let i = 0; i < count; i++) {
    const one = i % different;
    // From its own place in the table to IPS + i.
    ips.writeInt32LE(i - i * 4, i * 4);
    entries.writeUInt16LE(one & 0xffff, i * ENTRY_BYTES);
    entries.writeUInt16LE(one >>> 16, i * ENTRY_BYTES + 2);
    // The stack pointer is 5; type 2 is a call.
    entries.writeUInt16LE(5 | (2 << 8), i * ENTRY_BYTES + 4);
  }
  const types = openKernel(tinyKernel().memory).expectTypes();
  const budget = new Budget();
  const symbols = new Map([
    ["_stext", IPS],
    ["_etext", IPS + BigInt(count)],
    // Where a frame ends 8 bytes above the stack pointer.
    ["schedule", IPS + 8n],
    ["__start_orc_unwind_ip", IPS],
    ["__stop_orc_unwind_ip", IPS + BigInt(ips.length)],
    ["__start_orc_unwind", ENTRIES],
  ]);
  const source: OrcSource = {
    budget,
    symbols: { address: (name: string) => symbols.get(name) } as unknown as Symbols,
    moduleAt: () => undefined,
    read: (address) => (address === IPS ? ips : entries),
    expectTypes: () => types,
    expectSymbol: (name) => symbols.get(name) ?? expect.fail(name),
    attempt: (_, read) => read(),
  };
  return { orc: new Orc(source), budget };
}

test("each of vmlinux's entries costs of the budget", () => {
  const { orc, budget } = tables(100_000, 1000);
  const before = budget.left;
  const entries = new Set([...orc.vmlinux()].map(([, entry]) => entry));
  expect(entries.size).toBe(1000);
  expect(before - budget.left).toBeGreaterThan(40_000);
});

test("tables in which more entries differ than any kernel has are damaged", () => {
  const { orc } = tables(70_000, 70_000);
  expect(() => [...orc.vmlinux()]).toThrow(expect.objectContaining({ code: "DAMAGED" }));
});
