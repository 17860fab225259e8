import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";

/** How often it is read until nothing changes meanwhile. */
const TRIES = 3;

const SECOND = 1_000_000_000n;

/** The guest's clock when it was last brought up to date: at each tick of a CPU that isn't idle. In nanoseconds. */
export interface Clock {
  /** Since 1970, by the guest's clock. */
  readonly now: bigint;
  /** Since boot, with the time in suspend: as /proc/uptime. */
  readonly sinceBoot: bigint;
  /** CLOCK_MONOTONIC. */
  readonly monotonic: bigint;
}

/** Throws MemoryError where the kernel doesn't describe its timekeeper. */
export function readClock(kernel: Kernel): Clock {
  for (let tries = 1; ; tries++) {
    const { sequence, timekeeper } = findTimekeeper(kernel);
    const before = kernel.u32(sequence);
    const clock = decode(timekeeper);
    const isWhole = (before & 1) === 0 && kernel.u32(sequence) === before;
    if (isWhole || tries === TRIES) {
      if (!isWhole) kernel.notes.add("clock: the guest changes it meanwhile: it may be torn");
      return clock;
    }
  }
}

/** A sequence counter, and behind it the timekeeper; since 6.13 the two have a type. */
function findTimekeeper(kernel: Kernel): { sequence: bigint; timekeeper: Struct } {
  const types = kernel.expectTypes();
  const symbol = kernel.symbols?.address("timekeeper_data") ?? kernel.symbols?.address("tk_core");
  if (symbol === undefined) {
    throw new MemoryError("NOT_DESCRIBED", "the kernel has neither timekeeper_data nor tk_core");
  }
  if (types.struct("tk_data") !== undefined) {
    const data = kernel.struct("tk_data", symbol);
    return { sequence: data.at("seq"), timekeeper: data.struct("timekeeper") };
  }
  // The timekeeper holds 64-bit numbers, and is aligned for them.
  const size = types.expect("seqcount_raw_spinlock_t").size;
  const offset = BigInt(Math.ceil(size / 8) * 8);
  return { sequence: symbol, timekeeper: kernel.struct("timekeeper", symbol + offset) };
}

function decode(timekeeper: Struct): Clock {
  const shift = BigInt(timekeeper.number("tkr_mono.shift") & 63);
  const fraction = timekeeper.u64("tkr_mono.xtime_nsec") >> shift;
  const now = timekeeper.u64("xtime_sec") * SECOND + fraction;
  const toMonotonic =
    timekeeper.i64("wall_to_monotonic.tv_sec") * SECOND +
    timekeeper.i64("wall_to_monotonic.tv_nsec");
  const monotonic = now + toMonotonic;
  return { now, monotonic, sinceBoot: monotonic + timekeeper.i64("offs_boot") };
}

/** Nanoseconds since 1970; undefined where no calendar has such a day. */
export function dateOf(nanoseconds: bigint): Date | undefined {
  const date = new Date(Number(nanoseconds / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date;
}
