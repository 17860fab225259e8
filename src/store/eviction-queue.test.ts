import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EvictionQueue, type Wish } from "./eviction-queue.js";
import { RecordGroup } from "./record-group.js";
import type { TableEntry } from "./record-table.js";

const HOUR = 3_600_000;

const quota = { records: 20, bytes: 2000 };
const one = { records: 1, bytes: 10 };

interface Given {
  /** Milliseconds. */
  readonly at: number;
  readonly records?: number;
  readonly isContinuation?: boolean;
  readonly pending?: boolean;
}

function entry(id: number, timeMs: number, pending = false): TableEntry {
  const name = { type: "dmesg", id: BigInt(id), compressed: false } as const;
  return { name, size: 10, timeMs, ...(pending ? { pending } : {}) };
}

let nextId = 1;

function group({ at, records = 1, isContinuation = false, pending = false }: Given): RecordGroup {
  const made = new RecordGroup(entry(nextId++, at, pending), isContinuation);
  for (let i = 1; i < records; i++) made.set(entry(nextId++, at, pending));
  return made;
}

const groups = (...given: readonly Given[]) => given.map(group);

const totals = (all: readonly RecordGroup[]) => ({
  records: all.reduce((sum, { records }) => sum + records, 0),
  bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
});

type Asked = Partial<Pick<Wish, "quota" | "needed" | "continued" | "appended">>;

/** What goes of these groups. */
function evicted(all: readonly RecordGroup[], asked: Asked = {}): RecordGroup[] | undefined {
  const queue = new EvictionQueue();
  for (const each of all) queue.add(each);
  const wish = { quota, needed: one, continued: undefined, appended: undefined, ...asked };
  return queue.toEvict({ ...wish, used: totals(all) });
}

/** What is left of them; undefined where what is to come is refused. */
function left(all: readonly RecordGroup[], asked: Asked = {}): RecordGroup[] | undefined {
  const gone = evicted(all, asked);
  return gone && all.filter((each) => !gone.includes(each));
}

/** What is left when groups of one record come one after another. */
function kept(times: readonly number[]): number[] {
  const all: { at: number; group: RecordGroup }[] = [];
  const queue = new EvictionQueue();
  for (const at of times) {
    const used = totals(all.map((each) => each.group));
    const wish = { quota, used, needed: one, continued: undefined, appended: undefined };
    for (const gone of queue.toEvict(wish) ?? []) {
      queue.remove(gone);
      all.splice(
        all.findIndex((each) => each.group === gone),
        1,
      );
    }
    const made = group({ at });
    queue.add(made);
    all.push({ at, group: made });
  }
  return all.map(({ at }) => at);
}

const range = (from: number, count: number, step: number) =>
  Array.from({ length: count }, (_, i) => from + i * step);

const atHour = (hour: number): Given => ({ at: hour * HOUR });

describe("what has to make room", () => {
  test("nothing while there is quota", () => {
    expect(kept(range(0, 20, 5))).toEqual(range(0, 20, 5));
  });

  test("a crash loop: not the crashes that began it, and not what was there before", () => {
    const former = [0, 50_000, 90_000, 30 * HOUR];
    const loop = range(100 * HOUR, 1000, 5);
    expect(kept([...former, ...loop])).toEqual([...former, ...loop.slice(0, 7), ...loop.slice(-9)]);
  });

  test("a loop that begins within an hour of another crash keeps its beginning, too", () => {
    const loop = range(HOUR / 2, 1000, 5);
    expect(kept([0, ...loop]).slice(0, 3)).toEqual([0, HOUR / 2, HOUR / 2 + 5]);
  });

  test("of loops that follow on each other the beginning of each stays, and of one that lasts its hours'", () => {
    const starts = range(1000, 8, 3 * HOUR);
    const loops = starts.flatMap((start) => range(start, 200, 5));
    expect(kept(loops)).toEqual(expect.arrayContaining(starts));
    const lasting = range(0, 200, HOUR / 20);
    expect(kept(lasting)).toEqual(expect.arrayContaining(range(0, 10, HOUR)));
  });

  test("where each is the first of its hour the oldest of them, but for the first of all", () => {
    const times = range(0, 50, HOUR);
    expect(kept(times)).toEqual([0, ...times.slice(-19)]);
  });

  test("a crash from the future takes no later loop's beginning away", () => {
    const [early, late] = [range(0, 30, 1), range(50 * HOUR, 30, 1)];
    expect(kept([100 * HOUR, ...early, ...late])).toEqual([
      100 * HOUR,
      ...early.slice(0, 9),
      50 * HOUR,
      ...late.slice(-9),
    ]);
  });

  test("a dump without an end takes half of the quota, and no more", () => {
    const former = groups(...range(0, 10, HOUR).map((at) => ({ at })));
    const goesOn = group({ at: 50 * HOUR, records: 9 });
    expect(left([...former, goesOn], { continued: goesOn })).toHaveLength(11);
    const half = group({ at: 50 * HOUR, records: 10 });
    expect(left([...former, half], { continued: half })).toBeUndefined();
  });

  test("nor does what is beyond half of the quota go on", () => {
    const first = group({ at: 0, records: 10 });
    const beyond = group({ at: 0, records: 3, isContinuation: true });
    const others = groups(...range(1, 7, 1).map((at) => ({ at })));
    expect(left([first, ...others, beyond], { continued: beyond })).toBeUndefined();
    expect(evicted([first, beyond])).toEqual([]);
    const all = [first, beyond, ...others];
    expect(evicted(all, { needed: { records: 3, bytes: 30 } })).toEqual([beyond]);
  });

  test("the dump that what comes belongs to stays, wherever it began", () => {
    const before = groups({ at: 0 }, { at: 199 });
    const goesOn = group({ at: 200, records: 9 });
    const rest = groups(...range(300, 9, 100).map((at) => ({ at })));
    const all = [...before, goesOn, ...rest];
    expect(evicted(all, { continued: goesOn })).toEqual(rest.slice(-1));
  });

  test("what is being written, or appended to, stays", () => {
    const twelve = range(0, 12, 1);
    const later = range(300, 8, 100);
    const all = groups(...[...twelve, ...later].map((at) => ({ at })));
    expect(evicted(all)).toEqual([all[11]]);
    expect(evicted(all, { appended: all[11] })).toEqual([all[10]]);
    const some = groups(...[...twelve, ...later].map((at) => ({ at, pending: at === 11 })));
    expect(evicted(some)).toEqual([some[10]]);
    expect(
      evicted(groups(...range(0, 20, 1).map((at) => ({ at, pending: true })))),
    ).toBeUndefined();
  });

  test("of a boot's files the beginning goes behind the others", () => {
    const first = group({ at: 0 });
    const beginning = group({ at: 100 });
    const files = groups(...range(HOUR, 10, HOUR).map((at) => ({ at, isContinuation: true })));
    let all = [first, beginning, ...files, ...groups(...range(20, 8, 1).map(atHour))];
    for (let hour = 30; hour < 41; hour++) {
      expect(all).toContain(beginning);
      all = [...(left(all) ?? []), group(atHour(hour))];
    }
    expect(all.filter((each) => files.includes(each))).toEqual([]);
    expect(all).not.toContain(beginning);
  });

  test("a flood of boots leaves the files of the boots before it, whatever these and it are made of", () => {
    /** How many files each boot has. */
    const boots = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 40 });
    const filesOf = (counts: readonly number[], from: number, step: number) =>
      counts
        .flatMap((count) => range(0, count, 1).map((i) => i > 0))
        .map((isContinuation, i) => group({ at: from + i * step, isContinuation }));
    fc.assert(
      fc.property(boots, boots, (old, flood) => {
        const former = filesOf(old, 0, HOUR / 3).slice(0, 9);
        let all = former;
        for (const next of filesOf(flood, 1000 * HOUR, 1)) {
          if (all.length === quota.records) all = left(all) ?? [];
          all = [...all, next];
        }
        expect(all.slice(0, former.length)).toEqual(former);
      }),
    );
  });

  test("a record that alone would take more than half of the quota takes nothing away", () => {
    const all = groups(...range(0, 20, 100).map((at) => ({ at })));
    const plan = (bytes: number) => {
      const needed = { records: 1, bytes };
      return evicted(all, { needed, quota: { records: 30, bytes: 200 } });
    };
    expect(plan(100)).toHaveLength(10);
    expect(plan(101)).toBeUndefined();
  });

  const given = fc.record({
    gap: fc.oneof(fc.nat(1000), fc.integer({ min: -HOUR, max: 3 * HOUR })),
    size: fc.integer({ min: 1, max: 6 }),
    isContinuation: fc.boolean(),
    pending: fc.boolean(),
  });

  function made(all: readonly (typeof given extends fc.Arbitrary<infer T> ? T : never)[]) {
    let at = 0;
    return all.map(({ gap, size, isContinuation, pending }, i) => {
      at += gap;
      return group({ at, records: size, isContinuation, pending: pending && i % 3 === 0 });
    });
  }

  test("whatever there is: afterwards it fits, the first, what goes on and what is written are there, and no more went than had to", () => {
    const needs = fc.record({ records: fc.nat(8), bytes: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(given, { maxLength: 12 }), needs, fc.nat(), (some, needed, seed) => {
        const all = made(some);
        const used = totals(all);
        const continued = all[seed % (all.length + 1)];
        const gone = evicted(all, { needed, continued });
        if (gone === undefined) return;
        const fits = (without: { records: number; bytes: number }) =>
          used.records + needed.records - without.records <= quota.records &&
          used.bytes + needed.bytes - without.bytes <= quota.bytes;
        expect(fits(totals(gone))).toBe(true);
        expect(gone).not.toContain(all[0]);
        if (continued !== undefined) expect(gone).not.toContain(continued);
        expect(gone.some(({ isPending }) => isPending)).toBe(false);
        if (gone.length > 0) expect(fits(totals(gone.slice(0, -1)))).toBe(false);
      }),
    );
  });

  test("one by one those go that the rule names, whatever went before", () => {
    const size = fc.integer({ min: 20, max: 60 });
    fc.assert(
      fc.property(fc.array(given, { maxLength: 60 }), size, (some, records) => {
        const all = made(some.map((each) => ({ ...each, size: 1 })));
        const gone = evicted(all, { quota: { records, bytes: 2000 } });
        if (gone === undefined) return;
        const order = byTheRule(all);
        expect(gone).toEqual(order.slice(0, Math.max(0, all.length + 1 - records)));
      }),
    );
  });

  test("groups that come, go and change one by one leave the order that they would have at once", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("comes"), gap: fc.nat(HOUR), isContinuation: fc.boolean() }),
      fc.record({ kind: fc.constant("goes"), at: fc.nat() }),
      fc.record({ kind: fc.constant("grows"), at: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const queue = new EvictionQueue();
        const ever: RecordGroup[] = [];
        let all: RecordGroup[] = [];
        let at = 0;
        for (const given of steps) {
          if (given.kind === "comes") {
            at += given.gap;
            const made = group({ at, isContinuation: given.isContinuation });
            ever.push(made);
            all.push(made);
            queue.add(made);
            continue;
          }
          const found = all[given.at % Math.max(1, all.length)];
          if (found === undefined) continue;
          if (given.kind === "goes") {
            all = all.filter((each) => each !== found);
            queue.remove(found);
          } else {
            const [first] = found.entries;
            if (first !== undefined) found.set({ ...first, size: first.size + 1, timeMs: at });
          }
        }
        const asked = { continued: undefined, appended: undefined };
        const all20 = { records: all.length, bytes: 1e6 };
        const gone = queue.toEvict({ ...asked, quota: all20, used: totals(all), needed: one });
        const rule = byTheRule(ever, all);
        if (all.length >= 20) expect(gone).toEqual(rule.slice(0, 1));
      }),
    );
  });

  test("of a large quota not each group is looked at for each that comes or goes", () => {
    const count = 100_000;
    let looks = 0;
    class Counted extends RecordGroup {
      override get isPending(): boolean {
        looks++;
        return super.isPending;
      }
    }
    const queue = new EvictionQueue();
    const large = { records: count, bytes: 1e9 };
    const next = (i: number) => queue.add(new Counted(entry(nextId++, i * (HOUR / 100))));
    for (let i = 1; i <= count; i++) next(i);
    const wish = { quota: large, needed: one, continued: undefined, appended: undefined };
    for (let i = count + 1; i <= count + 1000; i++) {
      const gone = queue.toEvict({ ...wish, used: { records: count, bytes: 10 * count } });
      expect(gone).toHaveLength(1);
      for (const each of gone ?? []) queue.remove(each);
      next(i);
    }
    expect(looks).toBeLessThan(10 * 1000);
  });
});

/** The rule as docs/design.md says it, for groups of one record in a quota of at least twenty, of which `there` are left. */
function byTheRule(
  ever: readonly RecordGroup[],
  there: readonly RecordGroup[] = ever,
): RecordGroup[] {
  const isFirst = (group: RecordGroup) => {
    const before = ever.slice(0, ever.indexOf(group)).filter((each) => !each.isContinuation);
    return !group.isContinuation && before.every(({ hour }) => hour !== group.hour);
  };
  const may = there.slice(1, -8).filter(({ isPending }) => !isPending);
  return [...may.filter((each) => !isFirst(each)).reverse(), ...may.filter(isFirst)];
}
