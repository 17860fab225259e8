import { type Command, InvalidArgumentError, Option } from "commander";
import { isRecordType, RECORD_TYPES, type RecordTypeName } from "../records/index.js";
import { parseSize } from "../service/size.js";
import {
  type Bound,
  DEFAULT_MIN_FREE,
  DEFAULT_QUOTAS,
  DEFAULT_RATES,
  type MinFree,
  type Quota,
  type Quotas,
  type Rate,
  type Rates,
} from "../store/index.js";
import { sizeOption } from "./size.js";

const LARGEST_ROOM = 1024 ** 4 - 1;
const LARGEST_RATE = 1024 ** 4 - 1;

/** A value for each type of records, where one was given. */
type PerType<T> = ReadonlyMap<RecordTypeName, T>;

/** What a directory and its file system are protected with, as commander parses it. */
export interface LimitOptions {
  readonly maxRecords?: PerType<number>;
  readonly maxBytes?: PerType<number>;
  readonly rate?: PerType<number | "off">;
  readonly rateRequests?: PerType<number | "off">;
  readonly minFree?: MinFree;
}

/** An option's parser for `64M`, `console=1G,dmesg=64M`, or both: what has no type is for the others. */
function perType<T>(parse: (text: string) => T): (text: string) => PerType<T> {
  return (text) => {
    const values = new Map<RecordTypeName, T>();
    const named = new Set<RecordTypeName>();
    for (const item of text.split(",")) {
      const [, type, value] = /^([a-z]+)=(.*)$/.exec(item) ?? [undefined, undefined, item];
      if (type === undefined) {
        const all = parse(value ?? "");
        for (const one of RECORD_TYPES) if (!named.has(one)) values.set(one, all);
        continue;
      }
      if (!isRecordType(type)) {
        throw new InvalidArgumentError(`${type} is none of ${RECORD_TYPES.join(", ")}.`);
      }
      named.add(type);
      values.set(type, parse(value ?? ""));
    }
    return values;
  };
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && count > 0) return count;
  throw new InvalidArgumentError("It must be a whole number from 1 to 999999999.");
}

/** A parser that takes `off`, too. */
const orOff =
  (parse: (text: string) => number) =>
  (text: string): number | "off" =>
    text === "off" ? text : parse(text);

function parseMinFree(text: string): MinFree {
  const percent = /^([0-9]{1,2})%$/.exec(text)?.[1];
  if (percent !== undefined) {
    return { bytes: Number.MAX_SAFE_INTEGER, share: Number(percent) / 100 };
  }
  const bytes = parseSize(text);
  if (bytes !== undefined) return { bytes, share: 1 };
  throw new InvalidArgumentError(
    "It must be a size, or a whole number from 0 to 99 with % behind it.",
  );
}

/** Adds the options that bound what a guest can do to the host's disk. */
export function addLimitOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--max-records <n>",
        "keep at most this many records of each type, or TYPE=N,… (default: 1000)",
      ).argParser(perType(parseCount)),
    )
    .addOption(
      new Option(
        "--max-bytes <size>",
        "keep at most this many bytes of each type, or TYPE=SIZE,… " +
          "(default: 256M, console=1G)",
      ).argParser(perType(sizeOption(1 << 20, LARGEST_ROOM))),
    )
    .addOption(
      new Option(
        "--rate <size>",
        "take at most this many bytes of each type a second, in the long run, or TYPE=SIZE,…; " +
          "off: no limit (default: 1M, pmsg=256K)",
      ).argParser(perType(orOff(sizeOption(1, LARGEST_RATE)))),
    )
    .addOption(
      new Option(
        "--rate-requests <n>",
        "take at most this many requests of each type a second, in the long run, or TYPE=N,…; " +
          "off: no limit (default: 20, console=2000, pmsg=500)",
      ).argParser(perType(orOff(parseCount))),
    )
    .addOption(
      new Option(
        "--min-free <size>",
        "leave this much of the file system free: a size or a percentage (default: 5%, at most 1G)",
      ).argParser(parseMinFree),
    );
}

function quotas({ maxRecords, maxBytes }: LimitOptions): Quotas {
  const quota = (type: RecordTypeName): Quota => {
    const { records, bytes } = DEFAULT_QUOTAS[type];
    return { records: maxRecords?.get(type) ?? records, bytes: maxBytes?.get(type) ?? bytes };
  };
  return {
    dmesg: quota("dmesg"),
    ftrace: quota("ftrace"),
    console: quota("console"),
    pmsg: quota("pmsg"),
  };
}

/** A higher rate has a higher burst: a second of it, at least. */
function bound(known: Bound, perSecond: number | "off" = known.perSecond): Bound | undefined {
  if (perSecond === "off") return undefined;
  return { perSecond, burst: Math.max(known.burst, perSecond) };
}

function rates({ rate, rateRequests }: LimitOptions): Rates {
  const of = (type: RecordTypeName): Rate => {
    const { bytes, requests } = DEFAULT_RATES[type];
    return {
      bytes: bound(bytes, rate?.get(type)),
      requests: bound(requests, rateRequests?.get(type)),
    };
  };
  return {
    dmesg: of("dmesg"),
    ftrace: of("ftrace"),
    console: of("console"),
    pmsg: of("pmsg"),
  };
}

/** The defaults, but for what was asked for. */
export const limitSettings = (options: LimitOptions) => ({
  quotas: quotas(options),
  rates: rates(options),
  minFree: options.minFree ?? DEFAULT_MIN_FREE,
});
