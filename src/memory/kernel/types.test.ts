import { expect, test } from "vitest";
import { memoryOf, tinyKernel } from "../../../test/support/tiny-kernel.js";
import { type Btf, Kind } from "./btf.js";
import { Budget } from "./budget.js";
import { openKernel } from "./open-kernel.js";
import { PageTables } from "./page-tables.js";
import { StructType, Types } from "./types.js";

const LEVELS = 30;

/** A union that has the next one twice, without names: 2^30 ways to the last. */
function doubled(): { readonly btf: Btf; readonly looks: () => number } {
  let looks = 0;
  const btf = {
    kind: () => Kind.UNION,
    name: () => "doubled",
    size: () => 8,
    count: () => 2,
    stripped: (id: number) => id,
    string: () => "",
    members: (id: number) => {
      looks++;
      const next = { nameAt: 0, type: id + 1, bit: 0, bits: 0 };
      return id < LEVELS ? [next, next] : [];
    },
  };
  return { btf: btf as unknown as Btf, looks: () => looks };
}

test("a member that isn't there is looked for once in each structure", () => {
  const { btf, looks } = doubled();
  const budget = new Budget();
  const before = budget.left;
  expect(new StructType(btf, 1, budget).has("none")).toBe(false);
  expect(looks()).toBe(LEVELS);
  expect(before - budget.left).toBeCloseTo(LEVELS * 0.5);
});

test("an enum's names are kept as far as there is room", () => {
  const btf = {
    endString: 1,
    named: () => [1],
    kind: () => Kind.ENUM,
    count: () => 1000,
    enumerators: () => Array.from({ length: 1000 }, (_, i) => ({ nameAt: i, value: 0n })),
    string: (at: number) => `${at}`.padStart(2000),
  } as unknown as Btf;
  const budget = new Budget();
  const types = new Types(btf, () => [], budget);
  const before = budget.left;
  expect(types.enum("some")?.size).toBe(1000);
  expect(before - budget.left).toBeGreaterThan(250);
  budget.keep(253 << 20);
  expect(() => types.enum("another")).toThrow(expect.objectContaining({ code: "TOO_MUCH" }));
});

test("page tables that have to be read cost of the budget", () => {
  const { bytes, symbols } = tinyKernel();
  const memory = memoryOf(bytes);
  const kernel = openKernel(memory);
  const root = Number((symbols.get("swapper_pg_dir") ?? 0n) - (symbols.get("_stext") ?? 0n));
  const tables = new PageTables(memory, root, 4);
  const costs = [1, 2].map(() => {
    const before = kernel.budget.left;
    kernel.read(symbols.get("init_task") ?? 0n, 8, tables);
    return before - kernel.budget.left;
  });
  expect((costs[0] ?? 0) - (costs[1] ?? 0)).toBeCloseTo(4 * 3);
});
