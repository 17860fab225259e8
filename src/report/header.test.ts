import { describe, expect, test } from "vitest";
import { parseHeader } from "./header.js";

const parse = (line: string) => parseHeader(Buffer.from(line));

describe("pstore's first line", () => {
  test.each([
    ["Panic#1 Part1\n", { reason: "Panic", count: 1, part: 1 }, 14],
    ["Oops#12 Part34\nrest", { reason: "Oops", count: 12, part: 34 }, 15],
    ["Emergency restart#1 Part1\n", { reason: "Emergency restart", count: 1, part: 1 }, 26],
    ["Panic#1 Part4294967295\n", { reason: "Panic", count: 1, part: 4294967295 }, 23],
  ])("%j is one", (line, header, bytes) => {
    expect(parse(line)).toEqual({ header, bytes });
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
  ])("%j is none", (line) => {
    expect(parse(line)).toBeUndefined();
  });
});
