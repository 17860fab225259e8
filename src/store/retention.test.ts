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
  beginning: false,
  ...more,
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

  test("what is being written stays, and so does a stream's beginning while there is anything else", () => {
    const units = [
      unit(0),
      ...range(100, 5, 1).map((time) => unit(time, 1, { beginning: true })),
      unit(200, 1, { busy: true }),
      ...range(300, 13, 100).map((time) => unit(time)),
    ];
    expect(left(units)).not.toContain(300);
    expect(left(units)).toContain(200);
    expect(left(units)).toContain(101);
    expect(left(units.filter(({ beginning, busy }) => beginning || busy))).toBeDefined();
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
});
