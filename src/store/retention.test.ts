import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Retention, type Wish } from "./retention.js";
import { Unit } from "./unit.js";

const room = { records: 20, bytes: 2000 };

const unit = (timeMs: number, records = 1): Unit =>
  new Unit(
    Array.from({ length: records }, (_, i) => ({
      name: { type: "dmesg", id: BigInt(i + 1), compressed: false },
      size: 10,
      timeMs,
    })),
  );

/** A stream's file, and the id of the one that its stream began with. */
const piece = (timeMs: number, id: number, stream = id): Unit =>
  new Unit(
    [{ name: { type: "console", id: BigInt(id), compressed: false }, size: 10, timeMs }],
    BigInt(stream),
  );

interface Asked extends Pick<Wish, "room" | "needed"> {
  readonly units: readonly Unit[];
  readonly continued?: Unit | undefined;
  readonly busy?: readonly Unit[];
}

/** What goes of these units. */
function toDrop({ units, continued, busy = [], ...asked }: Asked): Unit[] | undefined {
  const retention = new Retention();
  for (const unit of units) retention.add(unit);
  const goesOn = continued === undefined ? [] : [continued];
  return retention.toDrop({ ...asked, used: totals(units), continued: goesOn, busy })?.();
}

const totals = (units: readonly Unit[]) => ({
  records: units.reduce((sum, { records }) => sum + records.length, 0),
  bytes: units.reduce((sum, { bytes }) => sum + bytes, 0),
});

const one = { records: 1, bytes: 10 };

/** The times of what is left when one more comes. */
function left(units: readonly Unit[], continued?: Unit, busy: readonly Unit[] = []) {
  const dropped = toDrop({ units, room, needed: one, continued, busy });
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
    const beyond = first.records.slice(10);
    expect(left([first], first)).toBeUndefined();
    const dropped = toDrop({ units: [first], room, needed: one });
    expect(dropped?.map(({ records }) => records)).toEqual([beyond]);
    expect(first.records).toHaveLength(10);
  });

  test("a first record that alone has more than half stays", () => {
    const small = { records: 20, bytes: 15 };
    const first = unit(0, 2);
    const beyond = first.records.slice(1);
    const dropped = toDrop({ units: [first], room: small, needed: { records: 1, bytes: 5 } });
    expect(dropped?.map(({ records }) => records)).toEqual([beyond]);
  });

  test("what is being written stays", () => {
    const busy = unit(1);
    const others = [...range(10, 10, 10), ...range(300, 8, 100)].map((time) => unit(time));
    const all = [unit(0), busy, ...others];
    expect(left(all)).not.toContain(1);
    expect(left(all, undefined, all)).toBeUndefined();
    expect(left(all, undefined, [busy])).toContain(1);
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
    const plan = (bytes: number) => {
      const needed = { records: 1, bytes };
      return toDrop({ units, room: { records: 30, bytes: 200 }, needed });
    };
    expect(plan(100)).toHaveLength(10);
    expect(plan(101)).toBeUndefined();
  });

  test("nothing, where one record has the room: the first stays", () => {
    const small = { records: 1, bytes: 100 };
    expect(toDrop({ units: [unit(0)], room: small, needed: one })).toBeUndefined();
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
        const all = given.map(({ gap, size }) => {
          time += gap;
          return unit(time, size);
        });
        const busy = all.filter((_, i) => given[i]?.busy);
        const used = totals(all);
        const continued = all[seed % (all.length + 1)];
        const dropped = toDrop({ units: all, room, needed, continued, busy });
        if (dropped === undefined) return;
        const gone = totals(dropped);
        const fits = (without: { records: number; bytes: number }) =>
          used.records + needed.records - without.records <= room.records &&
          used.bytes + needed.bytes - without.bytes <= room.bytes;
        expect(fits(gone)).toBe(true);
        expect(dropped).not.toContain(all[0]);
        if (continued !== undefined) expect(dropped).not.toContain(continued);
        expect(dropped.some((one) => busy.includes(one))).toBe(false);
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
        const all = given.map(({ gap, stream }, id) => {
          timeMs += gap;
          return piece(timeMs, id, Math.min(id, stream));
        });
        const busy = all.filter((_, id) => given[id]?.busy === true && id % 3 === 0);
        const dropped = toDrop({ units: all, room: small, needed: one, busy });
        if (dropped === undefined) return;
        const expected: Unit[] = [];
        let rest = all;
        while (rest.length + 1 > records) {
          const next = goesFirst(rest, busy);
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
    const units = range(1, count, 1).map((id) =>
      Object.defineProperty(piece(7 * id, id), "timeMs", {
        get: () => {
          looks++;
          return 7 * id;
        },
      }),
    );
    const { bytes } = totals(units);
    const large = { records: count, bytes };
    const needed = { records: 1, bytes: bytes / 2 - 100 };
    const dropped = toDrop({ units, room: large, needed });
    expect(dropped).toHaveLength(count / 2 - 10);
    expect(looks).toBeLessThan(10 * count);
  });

  test("nor all of them for each that comes", () => {
    const count = 10_000;
    let looks = 0;
    const counted = (id: number) =>
      Object.defineProperty(piece(7 * id, id), "timeMs", {
        get: () => {
          looks++;
          return 7 * id;
        },
      });
    const retention = new Retention();
    const asked = { room: { records: count, bytes: 1e9 }, needed: one, continued: [], busy: [] };
    for (let id = 1; id <= count; id++) retention.add(counted(id));
    looks = 0;
    for (let id = count + 1; id <= count + 1000; id++) {
      const used = { records: count, bytes: 10 * count };
      expect(retention.toDrop({ ...asked, used })?.()).toHaveLength(1);
      retention.add(counted(id));
    }
    expect(looks).toBeLessThan(100 * 1000);
  });

  test("units that come, go and change one by one leave the order that they would have at once", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("comes"), gap: fc.nat(50), stream: fc.nat(30) }),
      fc.record({ kind: fc.constant("goes"), at: fc.nat() }),
      fc.record({ kind: fc.constant("grows"), at: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const small = { records: 20, bytes: 1000 };
        const retention = new Retention();
        let units: Unit[] = [];
        let timeMs = 0;
        let id = 0;
        for (const given of steps) {
          if (given.kind === "comes") {
            timeMs += given.gap;
            const stream = Math.min(id, given.stream);
            const wish = { room: small, needed: one, busy: [] };
            if (units.length >= small.records) {
              const expected = toDrop({ ...wish, units });
              const used = totals(units);
              const dropped = retention.toDrop({ ...wish, used, continued: [] })?.();
              expect(dropped).toEqual(expected);
              units = units.filter((unit) => dropped?.includes(unit) !== true);
            }
            const unit = piece(timeMs, id++, stream);
            units.push(unit);
            retention.add(unit);
            continue;
          }
          const unit = units[given.at % Math.max(1, units.length)];
          const [entry] = unit?.records ?? [];
          if (unit === undefined || entry === undefined) continue;
          if (given.kind === "goes") {
            units = units.filter((one) => one !== unit);
            retention.remove(unit);
          } else {
            unit.replace(entry.name.id, { ...entry, timeMs: timeMs + 1 });
            retention.changed(unit);
          }
        }
      }),
    );
  });
});

/** Of files with room for more than the newest eight beside the first: the rule of docs/design.md, as it stands. */
function goesFirst(units: readonly Unit[], busy: readonly Unit[]): Unit[] {
  const key = (unit: Unit, i: number) => {
    const id = unit.records[0]?.name.id;
    const isBeginning = units.some((other) => other !== unit && other.stream === id);
    return [Number(isBeginning), unit.timeMs - (units[i - 1]?.timeMs ?? 0)] as const;
  };
  const ranked = units.map((unit, i) => ({ unit, i, key: key(unit, i) }));
  return ranked
    .filter(({ unit, i }) => i > 0 && i < units.length - 8 && !busy.includes(unit))
    .sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1] || a.i - b.i)
    .slice(0, 1)
    .map(({ unit }) => unit);
}
