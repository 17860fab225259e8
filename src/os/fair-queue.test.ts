import fc from "fast-check";
import { expect, test } from "vitest";
import { type Claim, FairQueue } from "./fair-queue.js";

const claim = (): Claim => ({ usedMs: 0, atMs: 0, dueMs: 0 });

test("who has used less is next, whoever came first", () => {
  const queue = new FairQueue<Claim>();
  const [much, little, none] = [claim(), claim(), claim()];
  queue.charge(much, 100, 0);
  queue.charge(little, 10, 0);
  for (const [i, one] of [much, little, none].entries()) queue.add(one, i);
  expect([queue.take(), queue.take(), queue.take(), queue.take()]).toEqual([
    none,
    little,
    much,
    undefined,
  ]);
});

test("of those that used the same, who came first", () => {
  const queue = new FairQueue<Claim>();
  const [one, other] = [claim(), claim()];
  queue.add(one, 1);
  queue.add(other, 2);
  queue.add(one, 3);
  expect(queue.size).toBe(2);
  expect(queue.take()).toBe(one);
});

test("what was used is forgotten", () => {
  const queue = new FairQueue<Claim>();
  const [long, lately] = [claim(), claim()];
  queue.charge(long, 1000, 0);
  queue.charge(lately, 10, 60_000);
  queue.add(long, 60_000);
  queue.add(lately, 60_000);
  expect(queue.take()).toBe(long);
});

test("nobody waits longer than it has used itself, and for one turn of each other, whatever they do", () => {
  const longestMs = 5;
  const scenario = fc.record({
    // Each other's turns, and how long it rests behind one.
    others: fc.array(
      fc.record({
        usedMs: fc.nat(200),
        turnMs: fc.integer({ min: 1, max: longestMs }),
        restMs: fc.nat(300),
      }),
      { minLength: 1, maxLength: 12 },
    ),
    turnMs: fc.integer({ min: 1, max: longestMs }),
    restMs: fc.nat(50),
  });
  fc.assert(
    fc.property(scenario, ({ others, turnMs, restMs }) => {
      const queue = new FairQueue<Claim>();
      const all = [{ usedMs: 0, turnMs, restMs }, ...others].map(({ usedMs, ...how }) => {
        const party = { ...claim(), ...how, wakesMs: 0, cameMs: 0, usedThen: 0 };
        queue.charge(party, usedMs, 0);
        return party;
      });
      const waiting = new Set<Claim>();
      for (let nowMs = 0; nowMs < 2000; ) {
        for (const party of all) {
          if (waiting.has(party) || party.wakesMs > nowMs) continue;
          waiting.add(party);
          queue.add(party, nowMs);
          Object.assign(party, { cameMs: nowMs, usedThen: party.usedMs });
        }
        const next = queue.take() as (typeof all)[number] | undefined;
        if (next === undefined) {
          nowMs++;
          continue;
        }
        waiting.delete(next);
        const boundMs = next.usedThen + all.length * longestMs;
        expect(nowMs - next.cameMs).toBeLessThanOrEqual(boundMs);
        nowMs += next.turnMs;
        queue.charge(next, next.turnMs, nowMs);
        next.wakesMs = nowMs + next.restMs;
      }
    }),
  );
});
