import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseHeader, type RecordHeader } from "../records/dump-header.js";
import { type RecordName, recordKey } from "../records/record-name.js";
import { goesOn, type PartBeginning } from "../records/same-dump.js";
import { RecordTable } from "./record-table.js";
import { Retention } from "./retention.js";

const [A, B] = ["a".repeat(32), "b".repeat(32)] as const;

const RECORDS = 20;

/** Compressed where it has no line. */
const partOf = (line: string, timeMs: number): PartBeginning => ({
  compressed: line === "",
  timeMs,
  header: parseHeader(Buffer.from(`${line}\n`))?.header,
});

/** A quota for 20 records of a guest's log. */
class LogRoom {
  readonly #table = new RecordTable();
  readonly #headers = new Map<bigint, RecordHeader | undefined>();
  readonly #retention: Retention;
  #id = 0;

  constructor() {
    const known = {
      table: this.#table,
      headers: { get: ({ id }: RecordName) => this.#headers.get(id) },
      index: { get: () => undefined },
    };
    this.#retention = new Retention("dmesg", known, { records: RECORDS, bytes: 2000 });
  }

  get ids(): number[] {
    return this.#table.ofType("dmesg").map(({ name }) => Number(name.id));
  }

  /** Takes a part where there is quota, and drops what has to go for it. False where it is refused. */
  take(line: string, timeMs: number): boolean {
    const part = partOf(line, timeMs);
    if (this.#table.size >= RECORDS && !this.#makeRoom(part)) return false;
    const id = BigInt(++this.#id);
    this.#headers.set(id, part.header);
    this.#table.set({ name: { type: "dmesg", id, compressed: part.compressed }, size: 1, timeMs });
    expect(this.#table.size).toBeLessThanOrEqual(RECORDS);
    return true;
  }

  /** Their owner removes a record, or puts one there. */
  remove(id: number): void {
    this.#table.delete(recordKey({ type: "dmesg", id: BigInt(id) }));
  }

  put(id: number, timeMs: number): void {
    this.#headers.set(BigInt(id), undefined);
    this.#table.set({
      name: { type: "dmesg", id: BigInt(id), compressed: false },
      size: 1,
      timeMs,
    });
  }

  #makeRoom(part: PartBeginning): boolean {
    // In turns that are over at once.
    while (!this.#retention.catchUp(() => true));
    const wanted = { type: "dmesg", records: 1, bytes: 1, part } as const;
    const groups = this.#retention.toEvict(wanted, this.#table.totals("dmesg"));
    if (groups === undefined) return false;
    this.#retention.evict(groups);
    for (const { name } of groups.flatMap(({ entries }) => entries)) {
      this.#table.delete(recordKey(name));
    }
    return true;
  }
}

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("a quota of dumps", () => {
  test("a part that says it is the first dump's doesn't push that out", () => {
    const quota = new LogRoom();
    quota.take(`Panic#1 Part1 boot=${A}`, 0);
    quota.take(`Panic#2 Part1 boot=${A}`, 50_000);
    quota.take(`Panic#1 Part2 boot=${A}`, 100_000);
    for (let id = 4; id <= 60; id++) quota.take(`Oops#${id} Part1 boot=${B}`, 1e6 + id);
    expect(quota.ids.slice(0, 4)).toEqual([1, 2, 3, 4]);
  });

  test("parts that name the dumps there are, in turn, are a flood like any other", () => {
    const quota = new LogRoom();
    for (let id = 1; id <= 9; id++) quota.take(`Panic#${id} Part1 boot=${A}`, id * 50_000);
    for (let id = 10; id <= 500; id++) {
      quota.take(`Panic#${1 + (id % 9)} Part2 boot=${A} last`, 1e6 + id);
    }
    expect(quota.ids.slice(0, 9)).toEqual(range(1, 9));
  });

  test("a first dump without an end ends with the quota, and leaves half of it to others", () => {
    const quota = new LogRoom();
    let id = 0;
    const next = (line: string) => quota.take(line, ++id);
    for (let part = 1; part <= 20; part++) expect(next(`Oops#1 Part${part} boot=${A}`)).toBe(true);
    expect(next(`Oops#1 Part21 boot=${A}`)).toBe(false);
    for (let count = 2; count < 100; count++) {
      expect(next(`Oops#${count} Part1 boot=${A}`)).toBe(true);
      next(`Oops#1 Part${20 + count} boot=${A}`);
    }
    expect(quota.ids.slice(0, 10)).toEqual(range(1, 10));
  });

  test("a dump goes as a whole", () => {
    const quota = new LogRoom();
    for (let count = 1; count <= 3; count++) quota.take(`Oops#${count} Part1 boot=${A}`, count);
    for (let part = 1; part <= 9; part++) quota.take(`Oops#4 Part${part} boot=${A}`, 10 + part);
    for (let count = 5; count <= 13; count++)
      quota.take(`Oops#${count} Part1 boot=${A}`, 1e5 + count);
    expect(quota.ids).toEqual([1, 2, 3, ...range(13, 21)]);
  });

  test("what its owner removes, and puts among the others, counts as it lies there", () => {
    const quota = new LogRoom();
    for (let count = 1; count <= 21; count++) quota.take(`Oops#${count} Part1 boot=${A}`, count);
    expect(quota.ids).toEqual([...range(1, 11), ...range(13, 21)]);
    quota.remove(1);
    quota.remove(11);
    quota.put(12, 12);
    quota.put(5, 5);
    for (let count = 22; count <= 24; count++) quota.take(`Oops#${count} Part1 boot=${A}`, count);
    expect(quota.ids).toEqual([...range(2, 10), 12, 13, ...range(16, 24)]);
  });

  test("whatever a guest sends: the first dump stays, up to half of the quota, and only one that goes on is refused", () => {
    const sent = fc.record({
      gap: fc.constantFrom(0, 1, 5000, 20_000, 4_000_000),
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
        const quota = new LogRoom();
        let time = 0;
        let last: { part: PartBeginning; parts: number } | undefined;
        let first = 0;
        let isFirst = true;
        for (const { gap, line } of all) {
          time += gap;
          const part = partOf(line, time);
          const isSame = last !== undefined && goesOn(last.part, part, last.parts);
          isFirst &&= isSame || last === undefined;
          if (quota.take(line, time)) {
            last = { part, parts: isSame && last !== undefined ? last.parts + 1 : 1 };
            if (isFirst) first++;
          } else {
            expect(isSame && last?.parts).toBeGreaterThanOrEqual(RECORDS / 2);
          }
        }
        const kept = range(1, Math.min(first, RECORDS / 2));
        expect(quota.ids.slice(0, kept.length)).toEqual(kept);
      }),
    );
  });
});
