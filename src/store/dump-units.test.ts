import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseHeader } from "../records/dump-header.js";
import { DumpGrouper, type DumpPart } from "./dump-units.js";
import { Retention } from "./retention.js";
import type { Unit } from "./unit.js";

const [A, B] = ["a".repeat(32), "b".repeat(32)] as const;

/** Compressed where it has no line. */
function partOf(id: number, line: string, timeMs: number): DumpPart {
  const name = { type: "dmesg", id: BigInt(id), compressed: line === "" } as const;
  const header = parseHeader(Buffer.from(`${line}\n`))?.header;
  return { entry: { name, size: 1, timeMs }, header };
}

/** The ids of each dump; a record is given as its first line, and when it came. */
function dumps(...records: readonly (readonly [line: string, timeMs?: number])[]): string[] {
  const parts = records.map(([line, timeMs = 0], i) => partOf(i + 1, line, timeMs));
  return unitsOf(parts).map(({ records: of }) => of.map(({ name }) => name.id).join(" "));
}

function unitsOf(parts: readonly DumpPart[]): Unit[] {
  const grouper = new DumpGrouper();
  return [...new Set(parts.map((part) => grouper.add(part)))];
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
    ).toEqual(["1 3", "2", "4"]);
  });

  test("of a guest that was set back, those of one time", () => {
    const of = (part: number, time: string) =>
      `Panic#1 Part${part} boot=${A} time=${time}.000000000`;
    expect(dumps([of(2, "1")], [of(1, "6")], [of(2, "6")])).toEqual(["1", "2 3"]);
  });

  test("nothing is added to one that has its last part", () => {
    const last = `Panic#1 Part2 boot=${A} oldest-first last`;
    const again = `Panic#1 Part2 boot=${A} oldest-first`;
    expect(dumps([`Panic#1 Part1 boot=${A} oldest-first`], [last], [again], [last])).toEqual([
      "1 2",
      "3 4",
    ]);
  });

  test.each([` boot=${A}`, ""])("nor to one that nothing came of for 10 s (%j)", (boot) => {
    expect(
      dumps(
        [`Panic#1 Part1${boot}`, 0],
        [`Panic#1 Part2${boot}`, 10_000],
        [`Panic#1 Part3${boot}`, 20_001],
        [`Panic#1 Part4${boot}`, 20_002],
      ),
    ).toEqual(["1 2", "3 4"]);
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

describe("a room of dumps", () => {
  const room = { records: 20, bytes: 2000 };

  /** A room, and the parts in it. */
  function emptyRoom() {
    const grouper = new DumpGrouper();
    const retention = new Retention((first, rest) => {
      grouper.split(first, rest);
    });
    const parts: DumpPart[] = [];
    return {
      parts,
      continued: (part: DumpPart) => grouper.continued(part),
      /** Takes a part where there is room, and drops what has to go for it. False where it is refused. */
      take: (part: DumpPart): boolean => {
        const used = { records: parts.length, bytes: parts.length };
        const needed = { records: 1, bytes: 1 };
        if (parts.length >= room.records) {
          const continued = grouper.continued(part);
          const drop = retention.toDrop({ room, used, needed, continued, busy: [] });
          if (drop === undefined) return false;
          const dropped = drop();
          for (const unit of dropped) grouper.remove(unit);
          const gone = dropped.flatMap(({ records }) => records);
          parts.splice(0, parts.length, ...parts.filter(({ entry }) => !gone.includes(entry)));
        }
        parts.push(part);
        const unit = grouper.add(part);
        if (unit.records.length === 1) retention.add(unit);
        expect(parts.length).toBeLessThanOrEqual(room.records);
        return true;
      },
    };
  }

  const idsOf = (parts: readonly DumpPart[]) => parts.map(({ entry }) => Number(entry.name.id));

  test("a part that says it is the first dump's doesn't push that out", () => {
    const { parts, take } = emptyRoom();
    take(partOf(1, `Panic#1 Part1 boot=${A}`, 0));
    take(partOf(2, `Panic#2 Part1 boot=${A}`, 50_000));
    take(partOf(3, `Panic#1 Part2 boot=${A}`, 100_000));
    for (let id = 4; id <= 60; id++) take(partOf(id, `Oops#${id} Part1 boot=${B}`, 1e6 + id));
    expect(idsOf(parts).slice(0, 4)).toEqual([1, 2, 3, 4]);
  });

  test("parts that name the dumps there are, in turn, are a flood like any other", () => {
    const { parts, take } = emptyRoom();
    for (let id = 1; id <= 9; id++) {
      take(partOf(id, `Panic#${id} Part1 boot=${A}`, id * 50_000));
    }
    for (let id = 10; id <= 500; id++) {
      take(partOf(id, `Panic#${1 + (id % 9)} Part2 boot=${A} last`, 1e6 + id));
    }
    expect(idsOf(parts).slice(0, 9)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("a first dump without an end ends with the room, and leaves half of it to others", () => {
    const { parts, take } = emptyRoom();
    let id = 0;
    const next = (line: string) => take(partOf(++id, line, id));
    for (let part = 1; part <= 20; part++) expect(next(`Oops#1 Part${part} boot=${A}`)).toBe(true);
    expect(next(`Oops#1 Part21 boot=${A}`)).toBe(false);
    for (let count = 2; count < 100; count++) {
      expect(next(`Oops#${count} Part1 boot=${A}`)).toBe(true);
      next(`Oops#1 Part${20 + count} boot=${A}`);
    }
    expect(idsOf(parts).slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("whatever a guest sends: the first dump stays, up to half of the room, and only one that goes on is refused", () => {
    const sent = fc.record({
      gap: fc.constantFrom(0, 1, 5000, 20_000),
      line: fc.constantFrom(
        "",
        "Panic#1 Part1",
        "Panic#1 Part2",
        ...[A, B].flatMap((boot) => [
          `Oops#1 Part1 boot=${boot}`,
          `Oops#1 Part2 boot=${boot} oldest-first last`,
          `Panic#2 Part3 boot=${boot}`,
        ]),
      ),
    });
    fc.assert(
      fc.property(fc.array(sent, { minLength: 1, maxLength: 100 }), (all) => {
        const { parts, take, continued } = emptyRoom();
        const taken: DumpPart[] = [];
        let time = 0;
        all.forEach(({ gap, line }, i) => {
          time += gap;
          const part = partOf(i + 1, line, time);
          const before = continued(part).reduce((sum, { records }) => sum + records.length, 0);
          if (take(part)) taken.push(part);
          else expect(before).toBeGreaterThanOrEqual(room.records / 2);
        });
        const first = unitsOf(taken)[0]?.records.slice(0, room.records / 2) ?? [];
        expect(parts.map(({ entry }) => entry)).toEqual(expect.arrayContaining(first));
      }),
    );
  });
});
