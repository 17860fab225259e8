import { expect, test } from "vitest";
import { formatTable } from "./table.js";

/** Where the second column begins: four columns, and two between. */
test.each([
  ["plain", "web", "web   x"],
  ["East Asian", "漢字", "漢字  x"],
  ["half and full width", "ｱＡb", "ｱＡb  x"],
  ["emoji", "🙂🙂", "🙂🙂  x"],
  ["combining", "e\u0301e\u0301", "e\u0301e\u0301    x"],
  ["Hangul in parts", "\u1112\u1161\u11ab", "\u1112\u1161\u11ab    x"],
  ["escaped", "\u001b", "\\x1b  x"],
])("%s characters take their columns on a terminal", (_, cell, line) => {
  const rows = [
    ["four", "x"],
    [cell, "x"],
  ];
  expect(formatTable(rows)).toBe(`four  x\n${line}\n`);
});

const DASHES = "-".repeat(18);

test.each([
  ["abcdef", 6, "abcdef"],
  ["abcdef", 5, "abcd…"],
  ["漢字漢", 6, "漢字漢"],
  ["漢字漢", 5, "漢字…"],
  ["漢字漢", 4, "漢…"],
  ["e\u0301e\u0301e\u0301", 2, "e\u0301…"],
])("%s in %i columns", (text, width, line) => {
  expect(formatTable([[DASHES + text]], DASHES.length + width)).toBe(`${DASHES}${line}\n`);
});

test("the last cell has 20 columns, however wide those before it are", () => {
  const rows = [["wide ".repeat(10), "a".repeat(21)]];
  expect(formatTable(rows, 40)).toBe(`${"wide ".repeat(10)}  ${"a".repeat(19)}…\n`);
});
