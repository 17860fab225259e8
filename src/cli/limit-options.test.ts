import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { DEFAULT_RATES } from "../store/index.js";
import { addLimitOptions, type LimitOptions, limitSettings } from "./limit-options.js";

const ratesOf = (...args: readonly string[]) =>
  limitSettings(addLimitOptions(new Command()).parse(args, { from: "user" }).opts<LimitOptions>())
    .rates;

describe("the rates that are asked for", () => {
  test("are the defaults where nothing is", () => {
    expect(ratesOf()).toEqual(DEFAULT_RATES);
  });

  test("bound bytes and requests apart from each other, and types as they are named", () => {
    const rates = ratesOf("--rate", "4M,console=off", "--rate-requests", "console=off,50");
    expect(rates.dmesg).toEqual({
      bytes: { perSecond: 4 << 20, burst: 128 << 20 },
      requests: { perSecond: 50, burst: 2000 },
    });
    expect(rates.console).toEqual({ bytes: undefined, requests: undefined });
    expect(ratesOf("--rate-requests", "off").pmsg).toEqual({
      bytes: DEFAULT_RATES.pmsg.bytes,
      requests: undefined,
    });
  });

  test("give a burst of a second at least", () => {
    expect(ratesOf("--rate-requests", "dmesg=5000").dmesg?.requests).toEqual({
      perSecond: 5000,
      burst: 5000,
    });
  });
});
