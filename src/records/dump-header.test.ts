import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseHeader } from "./dump-header.js";

const parse = (line: string) => parseHeader(Buffer.from(line));

/** What stands behind the first line. */
const textBehind = (record: string) => record.slice(parse(record)?.bytes);

describe("pstore's first line", () => {
  test.each([
    ["Panic#1 Part1\n", { reason: "Panic", count: 1, part: 1 }, 14],
    ["Oops#12 Part34\nrest", { reason: "Oops", count: 12, part: 34 }, 15],
    ["Emergency restart#1 Part1\n", { reason: "Emergency restart", count: 1, part: 1 }, 26],
    ["Panic#1 Part4294967295\n", { reason: "Panic", count: 1, part: 4294967295 }, 23],
  ])("%j is one", (line, header, bytes) => {
    expect(parse(line)).toEqual({ header, bytes });
    expect(textBehind(line)).toBe(line.slice(line.indexOf("\n") + 1));
  });

  test.each([
    "",
    "Panic#1 Part1",
    "panic#1 Part1\n",
    "Panic#1 Part\n",
    "Panic# Part1\n",
    "Panic#1 part1\n",
    " Panic#1 Part1\n",
    "Panic#-1 Part1\n",
    "Panic#1 Part99999999999\n",
    "\nPanic#1 Part1\n",
    "<4>Panic#1 Part1\n",
    `${"P".repeat(200)}#1 Part1\n`,
    `${"P".repeat(600)}#1 Part1\n`,
    `Panic#1 Part1${` ${"w".repeat(80)}`.repeat(7)}\n`,
    "Panic#1 Part1  two spaces\n",
    "Panic#1 Part1 trailing \n",
    "Panic#1 Part1 a\tb\n",
    "Panic#1 Part1 1 2 3 4 5 6 7 8 9\n",
  ])("%j is none", (line) => {
    expect(parse(line)).toBeUndefined();
  });
});

describe("the words behind it", () => {
  const boot = "0123456789abcdef0123456789abcdef";

  test("boot, time, order and end of a raw dump", () => {
    const line = `Panic#1 Part2 boot=${boot} time=1790000000.123456789 oldest-first last\n<0>text\n`;
    expect(parse(line)?.header).toEqual({
      reason: "Panic",
      count: 1,
      part: 2,
      boot,
      guestTime: "1790000000.123456789",
      oldestFirst: true,
      last: true,
    });
    expect(textBehind(line)).toBe("<0>text\n");
  });

  test("words that aren't known, or aren't well-formed, are passed over", () => {
    const line = `Oops#3 Part1 boot=${boot}0 new=1 time=12 oldest-first\n`;
    expect(parse(line)?.header).toEqual({ reason: "Oops", count: 3, part: 1, oldestFirst: true });
  });

  test("whatever the guest sends, nothing throws and no byte of the text is lost", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Z]?[a-z]*#?[0-9]* ?Part[0-9]+( [a-z=0-9]+)*\n/),
        (line) => {
          const found = parse(`${line}rest`);
          if (found !== undefined) expect(found.bytes).toBe(line.indexOf("\n") + 1);
        },
      ),
    );
  });
});
