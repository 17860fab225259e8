import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import { Budget } from "./budget.js";
import type { Module } from "./module.js";
import { moduleSymbols } from "./module-symbols.js";
import { Struct, type StructSource } from "./struct.js";
import type { StructType, Types } from "./types.js";

const TOO_MUCH = expect.objectContaining({ code: "TOO_MUCH" });

const sourceOf = (read: StructSource["read"]): StructSource => ({
  budget: new Budget(),
  read,
  structType: () => {
    throw new Error("not asked");
  },
  struct: () => {
    throw new Error("not asked");
  },
});

/** How often `step` succeeds until there is no budget left. */
function countUntilTooMuch(step: () => unknown, most: number): number {
  for (let count = 0; count < most; count++) {
    try {
      step();
    } catch (error) {
      expect(error).toEqual(TOO_MUCH);
      return count;
    }
  }
  return most;
}

test("what a view keeps is bounded, and the next view has room anew", () => {
  const budget = new Budget();
  budget.keep(200 << 20);
  expect(() => {
    budget.keep(100 << 20);
  }).toThrow(MemoryError);
  budget.renew();
  budget.keep(200 << 20);
});

test("structures that the kernel says are huge are kept up to 256 MiB", () => {
  const type = {
    size: 1 << 20,
    expect: () => ({ offset: 0, size: 8 }),
  } as unknown as StructType;
  const source = sourceOf(() => Buffer.alloc(8));
  const read = () => new Struct(source, type, 0n).pointer("next");
  expect(countUntilTooMuch(read, 1000)).toBe(256);
});

test("the symbols that modules claim are read as far as there is budget", () => {
  const SYMBOL_BYTES = 24;
  const kallsyms = {
    number: () => 1 << 18,
    has: () => false,
    pointer: (name: string) => (name === "symtab" ? 0n : 1n << 32n),
  };
  const struct = { has: () => true, follow: () => kallsyms };
  const symbol = {
    size: SYMBOL_BYTES,
    offset: (name: string) => (name === "st_name" ? 0 : 8),
  };
  const types = { expect: () => symbol } as unknown as Types;
  const name = Buffer.alloc(4096, "n");
  name[2000] = 0;
  const source = sourceOf((address, length) =>
    address === 0n ? Buffer.alloc(length) : Buffer.concat([name, Buffer.alloc(length)]),
  );
  const module = { name: "mod", struct } as unknown as Module;
  expect(countUntilTooMuch(() => moduleSymbols(module, source, types), 2)).toBe(0);
  expect(source.budget.left).toBeGreaterThan(-100);
});
