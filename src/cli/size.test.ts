import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatSize, parseSize } from "../service/size.js";
import { sizeOption } from "./size.js";

describe("parseSize", () => {
  test.each([
    ["0", 0],
    ["4096", 4096],
    ["16K", 16384],
    ["16k", 16384],
    ["16KB", 16384],
    ["16KiB", 16384],
    ["1M", 1 << 20],
    ["2G", 2 ** 31],
    ["007", 7],
  ])("%s is %i", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each([
    "",
    "K",
    "-1",
    "+1",
    "1.5K",
    "1e3",
    "0x10",
    "16 K",
    " 16K",
    "16K ",
    "16KK",
    "16iB",
    "16T",
    "16Kb/s",
    "١٦",
    "9999999999999",
    "999999999999G",
    "16K\n",
  ])("%j is none", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe("an option's size", () => {
  const parse = sizeOption(4096, 1 << 20);

  test("within its bounds, both included", () => {
    expect(parse("4K")).toBe(4096);
    expect(parse("1M")).toBe(1 << 20);
  });

  test.each(["4095", "1048577", "0"])("%s is out of bounds, which are named", (text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
    expect(() => parse(text)).toThrow("from 4K to 1M");
  });

  test("what is no size is said to be none", () => {
    expect(() => parse("big")).toThrow("A size is a number of bytes");
  });
});

describe("formatSize", () => {
  test.each([
    [0, "0"],
    [1023, "1023"],
    [1024, "1K"],
    [5432, "5.3K"],
    [16384, "16K"],
    [1 << 20, "1M"],
    [1.5 * (1 << 20), "1.5M"],
    [3 * 2 ** 30, "3G"],
  ])("%i is %s", (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  test("is never longer than 5 characters below a terabyte", () => {
    fc.assert(
      fc.property(fc.nat(), (bytes) => {
        expect(formatSize(bytes).length).toBeLessThanOrEqual(5);
      }),
    );
  });
});
