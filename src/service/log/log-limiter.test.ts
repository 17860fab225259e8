import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LogEvent } from "../../virtio/vhost-user/index.js";
import { LogLimiter } from "./log-limiter.js";

function limiter() {
  const told: { code: string; message: string; suppressed: number }[] = [];
  const clock = { now: 1000 };
  const limited = new LogLimiter<LogEvent>(
    ({ code, message }, suppressed) => told.push({ code, message, suppressed }),
    () => clock.now,
  );
  const log = (code: string, message = "") => {
    limited.log(code, { level: "warn", code, message });
  };
  return { told, clock, log, flush: () => limited.flush(), end: () => limited.end() };
}

describe("the log's rate", () => {
  test("ten of a code are told at once, the rest is left out", () => {
    const { told, log } = limiter();
    for (let i = 0; i < 100; i++) log("BAD", `${i}`);
    expect(told.map(({ message }) => message)).toEqual([
      "0",
      "1",
      "2",
      "3",
      "4",
      "5",
      "6",
      "7",
      "8",
      "9",
    ]);
    expect(told.every(({ suppressed }) => suppressed === 0)).toBe(true);
  });

  test("every five seconds one more is told, with the count of those left out", () => {
    const { told, clock, log } = limiter();
    for (let i = 0; i < 25; i++) log("BAD");
    clock.now += 4999;
    log("BAD");
    expect(told).toHaveLength(10);
    clock.now += 1;
    log("BAD", "now");
    log("BAD");
    expect(told.slice(10)).toEqual([{ code: "BAD", message: "now", suppressed: 16 }]);
    clock.now += 5000;
    log("BAD", "later");
    expect(told.slice(11)).toEqual([{ code: "BAD", message: "later", suppressed: 1 }]);
  });

  test("after a long silence a burst is told again, and no more than that", () => {
    const { told, clock, log } = limiter();
    for (let i = 0; i < 10; i++) log("BAD");
    clock.now += 10 * 3600_000;
    for (let i = 0; i < 100; i++) log("BAD");
    expect(told).toHaveLength(20);
  });

  test("at the end what was left out is told with its count, once", () => {
    const { told, log, end } = limiter();
    for (let i = 0; i < 25; i++) log("BAD", `${i}`);
    log("WORSE");
    end();
    end();
    expect(told.slice(11)).toEqual([{ code: "BAD", message: "24", suppressed: 14 }]);
  });

  test("a guest that comes and goes gets no more than one that stays", () => {
    const { told, clock, log, flush } = limiter();
    for (let i = 0; i < 25; i++) {
      log("BAD", `${i}`);
      flush();
    }
    expect(told).toHaveLength(10);
    clock.now += 5000;
    flush();
    flush();
    expect(told.slice(10)).toEqual([{ code: "BAD", message: "24", suppressed: 14 }]);
    log("BAD");
    expect(told).toHaveLength(11);
  });

  test("each code has its own", () => {
    const { told, log } = limiter();
    for (let i = 0; i < 100; i++) log("BAD");
    log("WORSE");
    expect(told.at(-1)).toEqual({ code: "WORSE", message: "", suppressed: 0 });
  });

  test("whatever comes when, at most 10 + 1 for each 5 s are told, and every event is told or counted", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20_000), { maxLength: 200 }), (gaps) => {
        const { told, clock, log } = limiter();
        const start = clock.now;
        gaps.forEach((gap, i) => {
          clock.now += i % 3 === 0 ? gap : gap % 20;
          log("BAD", `${i}`);
        });
        expect(told.length).toBeLessThanOrEqual(10 + (clock.now - start) / 5000);
        const last = told.at(-1);
        if (last !== undefined) {
          const counted = told.reduce((sum, { suppressed }) => sum + suppressed, 0) + told.length;
          expect(counted).toBe(Number(last.message) + 1);
        }
      }),
    );
  });
});
