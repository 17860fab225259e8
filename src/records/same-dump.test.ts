import { describe, expect, test } from "vitest";
import { parseHeader } from "./dump-header.js";
import { goesOn, type PartBeginning } from "./same-dump.js";

const [A, B] = ["a".repeat(32), "b".repeat(32)] as const;

/** The numbers of those that go on with each other; a record is given as its first line, and when it came. */
function dumps(...records: readonly (readonly [line: string, timeMs?: number])[]): string[] {
  const all: number[][] = [];
  let former: PartBeginning | undefined;
  records.forEach(([line, timeMs = 0], i) => {
    const header = parseHeader(Buffer.from(`${line}\n`))?.header;
    const next = { compressed: line === "", timeMs, header };
    const last = all.at(-1);
    if (last !== undefined && former !== undefined && goesOn(former, next, last.length)) {
      last.push(i + 1);
    } else {
      all.push([i + 1]);
    }
    former = next;
  });
  return all.map((parts) => parts.join(" "));
}

describe("a record goes on with the dump before it", () => {
  test("with a boot id: of one boot, reason and count, in any order", () => {
    expect(
      dumps(
        [`Oops#1 Part2 boot=${A}`],
        [`Oops#1 Part1 boot=${A}`],
        [`Oops#1 Part3 boot=${A}`],
        [`Panic#2 Part4 boot=${A}`],
        [`Oops#1 Part1 boot=${B}`],
      ),
    ).toEqual(["1 2 3", "4", "5"]);
  });

  test("of a guest that was set back, of one time", () => {
    const of = (part: number, time: string) =>
      `Panic#1 Part${part} boot=${A} time=${time}.000000000`;
    expect(dumps([of(2, "1")], [of(1, "6")], [of(2, "6")])).toEqual(["1", "2 3"]);
  });

  test("not behind its last part", () => {
    const last = `Panic#1 Part2 boot=${A} oldest-first last`;
    const again = `Panic#1 Part2 boot=${A} oldest-first`;
    expect(dumps([`Panic#1 Part1 boot=${A} oldest-first`], [last], [again], [last])).toEqual([
      "1 2",
      "3 4",
    ]);
  });

  test.each([` boot=${A}`, ""])("nor when nothing came of it for 10 s (%j)", (boot) => {
    expect(
      dumps(
        [`Panic#1 Part1${boot}`, 0],
        [`Panic#1 Part2${boot}`, 10_000],
        [`Panic#1 Part3${boot}`, 20_001],
        [`Panic#1 Part4${boot}`, 20_002],
      ),
    ).toEqual(["1 2", "3 4"]);
  });

  test("without a boot id: as long as parts go up", () => {
    expect(
      dumps(["Panic#1 Part1"], ["Panic#1 Part2"], ["Panic#1 Part1"], ["Oops#1 Part2"]),
    ).toEqual(["1 2", "3", "4"]);
  });

  test("plain text without a first line: never", () => {
    expect(dumps(["text"], ["text"])).toEqual(["1", "2"]);
  });

  test("compressed: what comes without a pause", () => {
    expect(
      dumps(["", 0], ["", 100], ["", 2100], ["", 5000], ["Panic#1 Part1", 5000], ["", 5001]),
    ).toEqual(["1 2 3", "4", "5", "6"]);
    expect(dumps(...Array.from({ length: 130 }, () => [""] as const))).toHaveLength(3);
  });
});
