import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_RATES, RATE_LEVELS, RateLimiter } from "./rate-limit.js";

const rate = {
  bytes: { perSecond: 1000, burst: 5000 },
  requests: { perSecond: 10, burst: 20 },
};

function limiter() {
  const clock = { ms: 0 };
  return { clock, limiter: new RateLimiter({ dmesg: rate }, undefined, () => clock.ms) };
}

describe("a guest's rate", () => {
  test("a burst at once, and then what the rate gives", () => {
    const { clock, limiter: one } = limiter();
    expect(one.take("dmesg", 5000)).toBe(true);
    expect(one.take("dmesg", 1)).toBe(false);
    clock.ms = 500;
    expect(one.take("dmesg", 501)).toBe(false);
    expect(one.take("dmesg", 500)).toBe(true);
    expect(one.take("dmesg", 1)).toBe(false);
  });

  test("small records are bounded by their number", () => {
    const { clock, limiter: one } = limiter();
    const taken = () => Array.from({ length: 30 }, () => one.take("dmesg", 1)).filter(Boolean);
    expect(taken()).toHaveLength(20);
    clock.ms = 1000;
    expect(taken()).toHaveLength(10);
  });

  test("what isn't taken costs nothing", () => {
    const { limiter: one } = limiter();
    for (let i = 0; i < 100; i++) expect(one.take("dmesg", 6000)).toBe(false);
    expect(one.take("dmesg", 5000)).toBe(true);
  });

  test.each(["bytes", "requests"] as const)("%s alone may be bounded", (what) => {
    const bounded = { bytes: undefined, requests: undefined, [what]: rate[what] };
    const one = new RateLimiter({ dmesg: bounded }, undefined, () => 0);
    const size = what === "bytes" ? 5 : 1 << 20;
    const taken = Array.from({ length: 1001 }, () => one.take("dmesg", size)).filter(Boolean);
    expect(taken).toHaveLength(what === "bytes" ? 1000 : 20);
  });

  test("a type without a rate has no bounds", () => {
    const { limiter: one } = limiter();
    for (let i = 0; i < 1000; i++) expect(one.take("console", 1 << 20)).toBe(true);
  });

  test("a pause of any length gives one burst; a clock that stands still or goes back gives nothing", () => {
    const { clock, limiter: one } = limiter();
    clock.ms = 1e9;
    expect(one.take("dmesg", 5001)).toBe(false);
    expect(one.take("dmesg", 5000)).toBe(true);
    clock.ms = 0;
    expect(one.take("dmesg", 1)).toBe(false);
  });

  test("what a process used is used in the next, each type's by itself, and the clock's time is theirs together", () => {
    const levels = new Float64Array(RATE_LEVELS);
    const clock = { ms: 1e6 };
    const another = () => new RateLimiter({ dmesg: rate, pmsg: rate }, levels, () => clock.ms);
    expect(another().take("dmesg", 5000)).toBe(true);
    expect(another().take("dmesg", 1)).toBe(false);
    expect(another().take("pmsg", 5000)).toBe(true);
    clock.ms += 500;
    expect(another().take("dmesg", 501)).toBe(false);
    expect(another().take("dmesg", 500)).toBe(true);
    expect(another().take("pmsg", 500)).toBe(true);
  });

  test("where the next process has a higher rate, that is what fills the bounds", () => {
    const levels = new Float64Array(RATE_LEVELS);
    const slow = { bytes: { perSecond: 1, burst: 5000 }, requests: { perSecond: 0.01, burst: 20 } };
    const another = (dmesg = rate) => new RateLimiter({ dmesg }, levels, () => clock.ms);
    const clock = { ms: 1e6 };
    const first = another(slow);
    for (let i = 0; i < 20; i++) expect(first.take("dmesg", 250)).toBe(true);
    const next = another();
    expect(next.take("dmesg", 1)).toBe(false);
    clock.ms += 500;
    expect(next.take("dmesg", 500)).toBe(true);
    expect(next.take("dmesg", 1)).toBe(false);
    clock.ms += 4500;
    expect(next.take("dmesg", 4500)).toBe(true);
  });

  test("whatever comes when, in whatever processes: never more than the burst and what the rate gives in any span", () => {
    const requests = fc.array(
      fc.record({
        gap: fc.nat(400),
        bytes: fc.integer({ min: 1, max: 3000 }),
        restart: fc.boolean(),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(requests, (given) => {
        const clock = { ms: 0 };
        const levels = new Float64Array(RATE_LEVELS);
        const start = () => new RateLimiter({ dmesg: rate }, levels, () => clock.ms);
        let one = start();
        const taken: { ms: number; bytes: number }[] = [];
        for (const { gap, bytes, restart } of given) {
          clock.ms += gap;
          if (restart) one = start();
          if (one.take("dmesg", bytes)) taken.push({ ms: clock.ms, bytes });
        }
        taken.forEach(({ ms: from }, first) => {
          let bytes = 0;
          for (const [i, { ms, bytes: more }] of taken.slice(first).entries()) {
            bytes += more;
            expect(bytes).toBeLessThanOrEqual(5000 + (ms - from) + 1e-6);
            expect(i + 1).toBeLessThanOrEqual(20 + (ms - from) / 100 + 1e-6);
          }
        });
      }),
    );
  });

  test("whatever came before: a guest that waits long enough has its burst again", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6000 }), { maxLength: 50 }), (sizes) => {
        const { clock, limiter: one } = limiter();
        for (const size of sizes) one.take("dmesg", size);
        clock.ms += 5000;
        expect(one.take("dmesg", 5000)).toBe(true);
      }),
    );
  });
});

test("the defaults take two dumps of the largest log, and a panic's 10 MB of console text, at once", () => {
  const one = new RateLimiter(DEFAULT_RATES, undefined, () => 0);
  for (let at = 0; at < 2 * (64 << 20); at += 128 << 10) {
    expect(one.take("dmesg", 128 << 10)).toBe(true);
  }
  for (let at = 0; at < 16 << 20; at += 100) expect(one.take("console", 100)).toBe(true);
});
