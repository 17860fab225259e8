import { describe, expect, test } from "vitest";
import { parseHeader } from "./dump-header.js";
import { dumpUnits } from "./dump-units.js";

const [A, B] = ["a".repeat(32), "b".repeat(32)] as const;

/** The ids of each dump; a record is given as its first line, and when it came. */
function dumps(...records: readonly (readonly [line: string, timeMs?: number])[]): string[] {
  const parts = records.map(([line, timeMs = 0], i) => ({
    entry: {
      name: { type: "dmesg", id: BigInt(i + 1), compressed: line === "" },
      size: 1,
      timeMs,
    } as const,
    header: parseHeader(Buffer.from(`${line}\n`))?.header,
  }));
  return dumpUnits(parts).map(({ records: of }) => of.map(({ name }) => name.id).join(" "));
}

describe("which records are one dump", () => {
  test("with a boot id: one boot, reason and count, whatever lies between", () => {
    expect(
      dumps(
        [`Oops#1 Part1 boot=${A}`],
        [`Panic#2 Part1 boot=${A}`],
        [`Oops#1 Part2 boot=${A}`],
        [`Oops#1 Part1 boot=${B}`],
      ),
    ).toEqual(["2", "1 3", "4"]);
  });

  test("without: as long as parts go up", () => {
    expect(
      dumps(["Panic#1 Part1"], ["Panic#1 Part2"], ["Panic#1 Part1"], ["Oops#1 Part2"]),
    ).toEqual(["1 2", "3", "4"]);
  });

  test("plain text without a first line: none of them", () => {
    expect(dumps(["text"], ["text"])).toEqual(["1", "2"]);
  });

  test("compressed: what comes without a pause", () => {
    expect(
      dumps(["", 0], ["", 100], ["", 2100], ["", 5000], ["Panic#1 Part1", 5000], ["", 5001]),
    ).toEqual(["1 2 3", "4", "5", "6"]);
    expect(dumps(...Array.from({ length: 130 }, () => [""] as const))).toHaveLength(3);
  });
});
