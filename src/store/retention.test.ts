import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toDrop } from "./retention.js";
import type { Unit } from "./unit.js";

const room = { records: 20, bytes: 2000 };

const unit = (timeMs: number, records = 1, more: Partial<Unit> = {}): Unit => ({
  records: Array.from({ length: records }, () => ({
    name: { type: "dmesg", id: 1n, compressed: false },
    size: 10,
    timeMs,
  })),
  bytes: 10 * records,
  timeMs,
  busy: false,
  ...more,
});

/** A stream's file, and the id of the one that its stream began with. */
const piece = (timeMs: number, id: number, stream = id): Unit => ({
  records: [{ name: { type: "console", id: BigInt(id), compressed: false }, size: 10, timeMs }],
  bytes: 10,
  timeMs,
  busy: false,
  stream: BigInt(stream),
});

const totals = (units: readonly Unit[]) => ({
  records: units.reduce((sum, { records }) => sum + records.length, 0),
  bytes: units.reduce((sum, { bytes }) => sum + bytes, 0),
});

const one = { records: 1, bytes: 10 };

/** The times of what is left when one more comes. */
function left(units: readonly Unit[], continued?: Unit) {
  const dropped = toDrop({ units, room, used: totals(units), needed: one, continued });
  if (dropped === undefined) return undefined;
  return units.filter((one) => !dropped.includes(one)).map(({ timeMs }) => timeMs);
}

const range = (from: number, count: number, step: number) =>
  Array.from({ length: count }, (_, i) => from + i * step);

describe("what has to make room", () => {
  test("nothing while there is room", () => {
    const times = range(0, 19, 5);
    expect(left(times.map((time) => unit(time)))).toEqual(times);
  });

  test("a crash loop: not the crash that began it, and not what was there before", () => {
    const former = [0, 50_000, 90_000, 91_000];
    let times = [...former, ...range(500_000, 16, 5)];
    for (let i = 0; i < 1000; i++) {
      times = left(times.map((time) => unit(time))) ?? [];
      times.push(500_000 + 5 * (16 + i));
    }
    expect(times).toHaveLength(20);
    expect(times.slice(0, 5)).toEqual([...former, 500_000]);
    expect(times.slice(-8)).toEqual(range(500_000 + 5 * 1008, 8, 5));
  });

  test("a second loop: the beginning of both stays", () => {
    let times: number[] = [];
    for (const start of [1000, 900_000]) {
      for (let i = 0; i < 200; i++) {
        times = left(times.map((time) => unit(time))) ?? [];
        times.push(start + 5 * i);
      }
    }
    expect(times).toContain(1000);
    expect(times).toContain(900_000);
  });

  test("a dump without an end takes half of the room, and no more", () => {
    const former = range(0, 10, 100).map((time) => unit(time));
    const goesOn = unit(5000, 9);
    expect(left([...former, goesOn], goesOn)).toHaveLength(11);
    const half = unit(5000, 10);
    expect(left([...former, half], half)).toBeUndefined();
  });

  test("the dump that what comes belongs to stays, wherever it began", () => {
    const goesOn = unit(200, 9);
    const units = [unit(0), unit(199), goesOn, ...range(300, 9, 100).map((time) => unit(time))];
    expect(left(units, goesOn)).toEqual([0, 199, 200, ...range(400, 8, 100)]);
    const half = unit(200, 10);
    expect(left([unit(0), half, ...units.slice(3)], half)).toBeUndefined();
  });

  test("of a first dump that has more than half, only what is beyond that goes", () => {
    const first = unit(0, 20);
    const used = totals([first]);
    const dropped = toDrop({ units: [first], room, used, needed: one, continued: undefined });
    expect(dropped?.map(({ records }) => records)).toEqual([first.records.slice(10)]);
    expect(left([first], first)).toBeUndefined();
  });

  test("a first record that alone has more than half stays", () => {
    const small = { records: 20, bytes: 15 };
    const first = unit(0, 2);
    const options = { units: [first], room: small, used: totals([first]), continued: undefined };
    const dropped = toDrop({ ...options, needed: { records: 1, bytes: 5 } });
    expect(dropped?.map(({ records }) => records)).toEqual([first.records.slice(1)]);
  });

  test("what is being written stays", () => {
    const busy = unit(200, 1, { busy: true });
    const units = [...range(0, 11, 10).map((time) => unit(time)), busy];
    const all = [...units, ...range(300, 8, 100).map((time) => unit(time))];
    expect(left(all)).not.toContain(10);
    expect(left(all.map((one) => ({ ...one, busy: true })))).toBeUndefined();
    expect(left([unit(0), { ...busy, timeMs: 1 }, ...all.slice(2)])).toContain(1);
  });

  test("of a boot's files the beginning goes behind the others", () => {
    const boot = [piece(100, 2), ...range(3, 10, 1).map((id) => piece(1000 * id, id, 2))];
    let units = [piece(0, 1), ...boot, ...range(20, 9, 1).map((id) => piece(1000 * id, id))];
    const ids = () => units.map(({ records }) => Number(records[0]?.name.id));
    for (let id = 30; ids().includes(2); id++) {
      const times = left(units);
      units = [...units.filter(({ timeMs }) => times?.includes(timeMs)), piece(1000 * id, id)];
      if (!ids().includes(2)) expect(ids().filter((one) => one > 2 && one < 13)).toEqual([]);
    }
    expect(ids()[0]).toBe(1);
  });

  test("a flood of boots leaves the files of the boots before it, whatever these and it are made of", () => {
    /** How many files each boot has. */
    const boots = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 40 });
    const piecesOf = (counts: readonly number[], id: number, timeMs: number, step: number) =>
      counts.flatMap((count, boot) => {
        const first = id + counts.slice(0, boot).reduce((sum, one) => sum + one, 0);
        return range(first, count, 1).map((at) => piece(timeMs + step * (at - id), at, first));
      });
    fc.assert(
      fc.property(boots, boots, (old, flood) => {
        const former = piecesOf(old, 1, 0, 100).slice(0, 9);
        let units = former;
        for (const next of piecesOf(flood, 200, 1e6, 1)) {
          const times = units.length < room.records ? undefined : left(units);
          if (times !== undefined) units = units.filter(({ timeMs }) => times.includes(timeMs));
          units = [...units, next];
        }
        expect(units.slice(0, former.length)).toEqual(former);
      }),
    );
  });

  test("a record that alone would take more than half of the room takes nothing away", () => {
    const units = range(0, 20, 100).map((time) => unit(time));
    const options = { units, used: totals(units), continued: undefined };
    const plan = (bytes: number) => {
      const needed = { records: 1, bytes };
      return toDrop({ ...options, room: { records: 30, bytes: 200 }, needed });
    };
    expect(plan(100)).toHaveLength(10);
    expect(plan(101)).toBeUndefined();
  });

  test("nothing, where one record has the room: the first stays", () => {
    const small = { records: 1, bytes: 100 };
    const units = [unit(0)];
    const used = totals(units);
    const options = { units, room: small, used, needed: one, continued: undefined };
    expect(toDrop(options)).toBeUndefined();
  });

  test("whatever there is: afterwards it fits, the first, what goes on and what is busy are there, and no more went than had to", () => {
    const units = fc.array(
      fc.record({ gap: fc.nat(1000), size: fc.integer({ min: 1, max: 6 }), busy: fc.boolean() }),
      { maxLength: 12 },
    );
    const needs = fc.record({ records: fc.nat(8), bytes: fc.nat(1000) });
    fc.assert(
      fc.property(units, needs, fc.nat(), (given, needed, seed) => {
        let time = 0;
        const all = given.map(({ gap, size, busy }) => {
          time += gap;
          return unit(time, size, { busy });
        });
        const used = totals(all);
        const continued = all[seed % (all.length + 1)];
        const dropped = toDrop({ units: all, room, used, needed, continued });
        if (dropped === undefined) return;
        const gone = totals(dropped);
        const fits = (without: { records: number; bytes: number }) =>
          used.records + needed.records - without.records <= room.records &&
          used.bytes + needed.bytes - without.bytes <= room.bytes;
        expect(fits(gone)).toBe(true);
        expect(dropped).not.toContain(all[0]);
        if (continued !== undefined) expect(dropped).not.toContain(continued);
        expect(dropped.some(({ busy }) => busy)).toBe(false);
        if (dropped.length > 0) expect(fits(totals(dropped.slice(0, -1)))).toBe(false);
      }),
    );
  });

  test("one by one those go that the rule names, whatever went before", () => {
    const files = fc.array(
      fc.record({ gap: fc.integer({ min: -5, max: 50 }), stream: fc.nat(30), busy: fc.boolean() }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(files, fc.integer({ min: 20, max: 60 }), (given, records) => {
        const small = { records, bytes: 1000 };
        let timeMs = 0;
        const all = given.map(({ gap, stream, busy }, id) => {
          timeMs += gap;
          return { ...piece(timeMs, id, Math.min(id, stream)), busy: busy && id % 3 === 0 };
        });
        const options = { units: all, room: small, used: totals(all), needed: one };
        const dropped = toDrop({ ...options, continued: undefined });
        if (dropped === undefined) return;
        const expected: Unit[] = [];
        let rest = all;
        while (rest.length + 1 > records) {
          const next = goesFirst(rest);
          expected.push(...next);
          rest = rest.filter((unit) => !next.includes(unit));
        }
        expect(dropped).toEqual(expected);
      }),
    );
  });

  test("a guest that fills a large room with small records doesn't have each looked at again for each that goes", () => {
    const count = 10_000;
    let looks = 0;
    const units = range(1, count, 1).map((id) => {
      const file = piece(7 * id, id);
      return Object.defineProperty({ ...file }, "timeMs", {
        get: () => {
          looks++;
          return file.timeMs;
        },
      });
    });
    const used = totals(units);
    const large = { records: count, bytes: used.bytes };
    const needed = { records: 1, bytes: used.bytes / 2 - 100 };
    const dropped = toDrop({ units, room: large, used, needed, continued: undefined });
    expect(dropped).toHaveLength(count / 2 - 10);
    expect(looks).toBeLessThan(10 * count);
  });
});

/** Of files with room for more than the newest eight beside the first: the rule of docs/design.md, as it stands. */
function goesFirst(units: readonly Unit[]): Unit[] {
  const key = (unit: Unit, i: number) => {
    const id = unit.records[0]?.name.id;
    const isBeginning = units.some((other) => other !== unit && other.stream === id);
    return [Number(isBeginning), unit.timeMs - (units[i - 1]?.timeMs ?? 0)] as const;
  };
  const ranked = units.map((unit, i) => ({ unit, i, key: key(unit, i) }));
  return ranked
    .filter(({ unit, i }) => i > 0 && i < units.length - 8 && !unit.busy)
    .sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1] || a.i - b.i)
    .slice(0, 1)
    .map(({ unit }) => unit);
}
