import { beforeEach, describe, expect, test } from "vitest";
import type { EventField } from "../event-field.js";
import { bprint } from "./bprint.js";
import { PrintFmtError } from "./error.js";
import { compilePrintFmt } from "./parser.js";
import type { Surroundings } from "./value.js";

const field = (
  name: string,
  offset: number,
  size: number,
  more: Partial<EventField> = {},
): [string, EventField] => [
  name,
  {
    ...{ name, offset, size, type: "int", signed: false },
    ...{ element: undefined, dynamic: false, relative: false, ...more },
  },
];

const BYTE = { bits: 8, signed: false } as const;

const FIELDS = new Map([
  field("state", 0, 4, { signed: true }),
  field("small", 4, 1, { signed: true }),
  field("call_site", 8, 8),
  field("comm", 16, 16, { type: "char[16]", element: BYTE }),
  field("words", 32, 8, { type: "u16[4]", element: { bits: 16, signed: false } }),
  field("name", 40, 4, { type: "__data_loc char[]", element: BYTE, dynamic: true }),
  field("near", 44, 4, { type: "__rel_loc u8[]", element: BYTE, dynamic: true, relative: true }),
  field("mask", 48, 4, { type: "__data_loc cpumask_t", dynamic: true }),
  field("buf", 52, 0, { type: "char[]", element: BYTE }),
]);

/** What was spent since a test began. */
let spent = 0;
beforeEach(() => {
  spent = 0;
});

const KERNEL: Surroundings = {
  constant: (name) => (name === "TASK_DEAD" ? 128n : undefined),
  variable: (name) => (name === "vmemmap_base" ? 0xffffea0000000000n : undefined),
  sizeOf: (name) => (name === "page" ? 64 : undefined),
  integerType: (name) => (name === "gfp_t" ? { bits: 32, signed: false } : undefined),
  symbol: (_, withOffset) => (withOffset ? "do_idle+0x10/0x20" : "do_idle"),
  pointer: () => "00000000abcdef01",
  text: (address) => (address === 0x1000n ? "constant" : undefined),
  spend: (work) => {
    spent += work;
  },
};

const RECORD = Buffer.alloc(64);
RECORD.writeInt32LE(-3, 0);
RECORD.writeInt8(-1, 4);
RECORD.writeBigUInt64LE(0xffffffff81000010n, 8);
RECORD.write("kworker/0:1\0??", 16, "latin1");
for (const [i, value] of [1, 2, 0xffff, 4].entries()) RECORD.writeUInt16LE(value, 32 + 2 * i);
RECORD.writeUInt32LE((5 << 16) | 52, 40);
RECORD.writeUInt32LE((4 << 16) | 4, 44);
RECORD.writeUInt32LE((8 << 16) | 52, 48);
RECORD.write("text\0xyz", 52, "latin1");

const shown = (printFmt: string): string => compilePrintFmt(printFmt, FIELDS, KERNEL)(RECORD);

describe("a print_fmt is evaluated as C", () => {
  test.each([
    ['"%d %u %x", REC->state, REC->state, REC->state', "-3 4294967293 fffffffd"],
    [
      '"%lx %llu", (unsigned long)REC->state, REC->call_site',
      "fffffffffffffffd 18446744071578845200",
    ],
    ['"%d", REC->small < 0u', "0"],
    ['"%d", REC->state < 0u', "0"],
    ['"%d", REC->state < 0', "1"],
    ['"%d %d", REC->state >> 1, (unsigned int)REC->state >> 1', "-2 2147483646"],
    ['"%d", 1 + 2 * 3 - (4 << 1) | 8', "-1"],
    ['"%d", -7 / 2 + -7 % 2', "-4"],
    ['"%d", 1 / 0', "0"],
    ['"%d", 2 > 1 ? 010 : 0x10', "8"],
    ['"%s", REC->state & TASK_DEAD ? "dead" : "alive"', "dead"],
    ['"%d", ~0 == -1 && !0 || 1 / 0', "1"],
    ['"%d", (u8)300 + (s8)200', "-12"],
    ['"%zu", sizeof(unsigned long) + sizeof(u16)', "10"],
    ['"%d", __builtin_expect(!!(REC->state), 0)', "1"],
    ["\"%c%%%5d|%-5d|%05d|%#x|%+d\", 'a', 42, 42, 42, 42, 42", "a%   42|42   |00042|0x2a|+42"],
    ['"%.3s|%10.4s|%-6s|%*d", REC->comm, REC->comm, "ab", 4, 7', "kwo|      kwor|ab    |   7"],
    ['"%s" " and %s", REC->comm, REC->buf', "kworker/0:1 and text"],
  ])("%s", (printFmt, text) => {
    expect(shown(printFmt)).toBe(text);
  });
});

describe("its helpers, and the kernel's own conversions", () => {
  test.each([
    ['"%s", __get_str(name)', "text"],
    ['"%d", __get_dynamic_array_len(name)', "5"],
    ['"%s", __print_hex(__get_rel_dynamic_array(near), 4)', "74 65 78 74"],
    ['"%s", __print_array(REC->words, 4, sizeof(u16))', "{0x1,0x2,0xffff,0x4}"],
    ['"%s", __get_cpumask(mask)', "7a797800,74786574"],
    ['"%d", REC->words[2] + REC->words[9]', "65535"],
    ['"%s", __print_flags(5 | 64, "|", { 1, "A" }, { 4, "C" })', "A|C|0x40"],
    ['"%s", __print_flags(0, "|", { 1, "A" })', ""],
    ['"%s", __print_flags(3, "", {(gfp_t)3, "B"}, { 1, "A" }, { 0, ((void *)0) } )', "B"],
    ['"%s", __print_symbolic(REC->state, { -3, "minus" }, { 1, "one" })', "minus"],
    ['"%s", __print_symbolic(7, { 1, "one" })', "0x7"],
    ['"%ps %pS", (void *)REC->call_site, (void *)REC->call_site', "do_idle do_idle+0x10/0x20"],
    ['"%p %px", (void *)REC->call_site, REC->call_site', "00000000abcdef01 ffffffff81000010"],
    ['"%px", (((struct page *)vmemmap_base) + 2)', "ffffea0000000080"],
    ['"%pI4 %pM", &REC->words[0], REC->comm', "1.0.2.0 6b:77:6f:72:6b:65"],
    [
      '"%pI6c %pI6", REC->comm, REC->comm',
      "6b77:6f72:6b65:722f:303a:3100:3f3f:0 6b77:6f72:6b65:722f:303a:3100:3f3f:0000",
    ],
    ['"%s %s", (char *)4096, (char *)8192', "constant (fault)"],
  ])("%s", (printFmt, text) => {
    expect(shown(printFmt)).toBe(text);
  });
});

describe("what isn't evaluated is said", () => {
  test.each([
    ['"%d", jiffies_to_msecs(REC->state)', "jiffies_to_msecs() isn't evaluated"],
    ['"%d", REC->absent', "it takes a field that isn't there"],
    ['"%d", UNKNOWN', "UNKNOWN isn't known"],
    ['"%d"', '"," is missing'],
    ['"%d", 1, 2', "it has more than its format takes"],
    ['"%d", "text"', "a number is wanted where there is none"],
    ['"%pUb", REC->comm', "%pUb isn't evaluated"],
    ['"%d", ({ 1; })', '";" is not C'],
    ["REC->state", "it doesn't begin with a format"],
    ['"%99999d", 1', "its format has a width of 99999"],
    ['"%d", 1 @ 2', '"@" is not C'],
  ])("%s", (printFmt, why) => {
    expect(() => shown(printFmt)).toThrow(new PrintFmtError(why));
  });
});

test("neither is what is nested without an end", () => {
  expect(() => shown(`"%d", ${"(".repeat(5000)}1`)).toThrow("it is nested too deeply");
  expect(() => shown(`"%d", ${"!".repeat(5000)}1`)).toThrow("it is nested too deeply");
});

test("nor what goes deep as a chain of operators", () => {
  expect(shown(`"%d", 1${" + 1".repeat(90)}`)).toBe("91");
  expect(() => shown(`"%d", 1${"+1".repeat(20_000)}`)).toThrow("it is nested too deeply");
});

test("an event costs of the budget what more it looks at than the kernel's own do", () => {
  const flags = (count: number) =>
    Array.from({ length: count }, (_, i) => `, { 1 << ${i % 30}, "F${i}" }`).join("");
  expect(shown(`"%s", __print_flags(REC->state, "|"${flags(100)})`)).not.toBe("");
  expect(spent).toBe(0);
  shown(`"%s", __print_flags(REC->state, "|"${flags(3000)})`);
  expect(spent).toBeGreaterThan(100);
});

test("an array is shown as far as a line goes, and costs by its bytes", () => {
  const record = Buffer.alloc(1 << 20, 1);
  const show = compilePrintFmt('"%.0s|", __print_hex(REC->buf, 1000000)', FIELDS, KERNEL);
  expect(show(record)).toBe("|");
  expect(spent).toBeGreaterThan(500);
  expect(spent).toBeLessThan(2000);
});

test("a line is bounded, whatever its format says", () => {
  const many = `"${"%8000d".repeat(1000)}"${", 1".repeat(1000)}`;
  expect(shown(many)).toHaveLength(8192);
});

test("trace_printk(): arguments as vbin_printf() keeps them", () => {
  const args = Buffer.alloc(64);
  args.writeInt32LE(-5, 0);
  args.write("task\0", 4, "latin1");
  // Behind a text of 5 bytes: aligned to 4, also what has 8 bytes.
  args.writeBigUInt64LE(1n << 40n, 12);
  args.writeBigUInt64LE(0xffffffff81000010n, 20);
  args.writeUInt8(0x41, 28);
  args.writeUInt16LE(7, 30);
  const text = bprint("a=%d b=%s c=%llx d=%pS e=%c f=%hu", args, KERNEL);
  expect(text).toBe("a=-5 b=task c=10000000000 d=do_idle+0x10/0x20 e=A f=7");
});
