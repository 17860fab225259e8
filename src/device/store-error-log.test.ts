import { expect, test } from "vitest";
import { StoreErrorLog } from "./store-error-log.js";

function errorLog() {
  const told: string[] = [];
  const clock = { ms: 0 };
  const log = new StoreErrorLog(
    ({ level, message }) => told.push(`${level}: ${message}`),
    () => clock.ms,
  );
  return { told, clock, log };
}

test("an error is told once where it begins and once where it is over, whatever fails in between", () => {
  const { told, log } = errorLog();
  for (let i = 0; i < 100; i++) {
    log.failed("dump", "/var/crash: full");
    log.failed("stream", "/var/crash: full");
    log.succeeded("erase");
  }
  expect(told).toEqual(["warn: dump: /var/crash: full", "warn: stream: /var/crash: full"]);
  log.succeeded("dump");
  log.succeeded("dump");
  expect(told.slice(2)).toEqual(["info: dump: works again; 100 failed"]);
});

test("another error is told, and the same after a minute, with what failed", () => {
  const { told, clock, log } = errorLog();
  log.failed("dump", "full");
  log.failed("dump", "gone");
  clock.ms = 59_999;
  log.failed("dump", "gone");
  clock.ms = 60_000;
  log.failed("dump", "gone");
  expect(told).toEqual([
    "warn: dump: full",
    "warn: dump: gone; 2 failed since it began",
    "warn: dump: gone; 4 failed since it began",
  ]);
});

test("a guest that goes away leaves a line with what failed, where that isn't told", () => {
  const { told, log } = errorLog();
  for (let i = 0; i < 3; i++) log.failed("dump", "full");
  log.failed("stream", "full");
  log.end();
  log.end();
  expect(told.slice(2)).toEqual(["warn: dump: full; 3 failed since it began"]);
});
