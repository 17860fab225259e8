import { expect, test } from "vitest";
import { Budget, VmcoreInfo } from "../kernel/index.js";
import { type PageKind, pagesLeftOut } from "./filter.js";

const PAGE = 4096;
const STRUCT_BYTES = 64;
const MAP_COUNT_AT = 48;
const ORDER_AT = 40;
const BUDDY = 0xf0000000;

const INFO = {
  "SYMBOL(vmemmap)": "ffffea0000000000",
  "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)": BUDDY,
  "SIZE(page)": STRUCT_BYTES,
  "OFFSET(page.flags)": 0,
  "OFFSET(page.compound_head)": 8,
  "OFFSET(page.mapping)": 24,
  "OFFSET(page.private)": ORDER_AT,
  "OFFSET(page._mapcount)": MAP_COUNT_AT,
};

/** Of a guest whose page i says that it begins a free block of the order `orders[i]`. */
function leftOutOf(
  orders: readonly number[],
  changed: Readonly<Record<string, number>> = {},
  stop?: AbortSignal,
) {
  const lines = Object.entries({ ...INFO, ...changed }).map(([key, value]) => `${key}=${value}`);
  const structs = Buffer.alloc(2 ** 13 * STRUCT_BYTES);
  for (const [page, order] of orders.entries()) {
    structs.writeUInt32LE(BUDDY, page * STRUCT_BYTES + MAP_COUNT_AT);
    structs.writeUInt32LE(order, page * STRUCT_BYTES + ORDER_AT);
  }
  const kernel = {
    info: new VmcoreInfo(lines.join("\n")),
    budget: new Budget(),
    read: (_: bigint, length: number) => structs.subarray(0, length),
    pointer: () => 0n,
    expectSymbol: () => 0n,
  };
  return pagesLeftOut(kernel, [{ start: 0, size: PAGE }], new Set<PageKind>(["free"]), stop);
}

test("pages within a free block claim no block of their own", async () => {
  const isLeftOut = await leftOutOf([2, 9, 9, 9, 1]);
  expect([0, 1, 2, 3, 4, 5, 6, 7, 100].map(isLeftOut)).toEqual([
    ...[true, true, true, true, true, true],
    ...[false, false, false],
  ]);
});

test("a block is as large as Linux can be built with at most, whatever the guest says", async () => {
  const isLeftOut = await leftOutOf([14, 13], { "LENGTH(zone.free_area)": 32 });
  expect([0, 1, 2 ** 13 - 1].map(isLeftOut)).toEqual([false, true, true]);
});

test.each([
  ["no size", { "SIZE(page)": 0 }],
  ["a size of 1 MiB", { "SIZE(page)": 1 << 20 }],
  ["a member behind it", { "OFFSET(page.private)": STRUCT_BYTES }],
])("a struct page with %s is refused", async (_, changed) => {
  await expect(leftOutOf([], changed)).rejects.toMatchObject({ code: "DAMAGED" });
});

test("a signal stops it", async () => {
  const stop = AbortSignal.abort(new Error("stopped"));
  await expect(leftOutOf([], {}, stop)).rejects.toThrow("stopped");
});
