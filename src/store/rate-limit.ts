import { RECORD_TYPES, type RecordTypeName } from "../records/record-name.js";

/** How much of something may come. */
export interface Bound {
  /** In the long run. */
  readonly perSecond: number;
  /** At once, after a pause that was long enough. */
  readonly burst: number;
}

/** What a guest may send of one type. Undefined: as much as it does. */
export interface Rate {
  readonly bytes: Bound | undefined;
  /** WRITEs, each of which is a record or a piece of a stream. */
  readonly requests: Bound | undefined;
}

/** Types that aren't in it have no bounds. */
export type Rates = Readonly<Partial<Record<RecordTypeName, Rate>>>;

const KIB = 1 << 10;
const MIB = 1 << 20;

/**
 * Any guest can claim to panic, so a dump has its bounds, too. Linux's log buffer has 32 MiB at most as
 * it is configured (CONFIG_LOG_BUF_SHIFT), which printed with their prefixes are less than 64 MiB: there
 * is always room for two such dumps, in parts of 64 KiB or more, and a trace beside them.
 */
const DUMP = {
  bytes: { perSecond: MIB, burst: 128 * MIB },
  requests: { perSecond: 20, burst: 2000 },
};

export const DEFAULT_RATES = {
  dmesg: DUMP,
  ftrace: DUMP,
  console: {
    bytes: { perSecond: MIB, burst: 64 * MIB },
    requests: { perSecond: 2000, burst: 200_000 },
  },
  pmsg: {
    bytes: { perSecond: 256 * KIB, burst: 16 * MIB },
    requests: { perSecond: 500, burst: 20_000 },
  },
} satisfies Rates;

/** Numbers that say how far a guest's bounds are used up: one for each type's bytes and requests. */
export const RATE_LEVELS = 2 * RECORD_TYPES.length;

/**
 * Fills at a steady rate up to its burst. What is kept of it is one number, the time at which it will be
 * full, so that a process that dies leaves the one before a take() or the one after. 0 is full.
 */
class TokenBucket {
  readonly #bound: Bound;
  readonly #levels: Float64Array;
  readonly #at: number;

  constructor(bound: Bound, levels: Float64Array, at: number, nowMs: number) {
    this.#bound = bound;
    this.#levels = levels;
    this.#at = at;
    // A former process may have had a lower rate, at which what it took lasts longer than all of this burst.
    const emptyMs = nowMs + (bound.burst * 1000) / bound.perSecond;
    levels[at] = Math.min(levels[at] ?? 0, emptyMs);
  }

  has(count: number, nowMs: number): boolean {
    const { perSecond, burst } = this.#bound;
    return count + ((this.#fullMs(nowMs) - nowMs) * perSecond) / 1000 <= burst;
  }

  /** What has() said is there. */
  take(count: number, nowMs: number): void {
    this.#levels[this.#at] = this.#fullMs(nowMs) + (count * 1000) / this.#bound.perSecond;
  }

  #fullMs(nowMs: number): number {
    return Math.max(nowMs, this.#levels[this.#at] ?? 0);
  }
}

interface Buckets {
  readonly bytes: TokenBucket | undefined;
  readonly requests: TokenBucket | undefined;
}

/** CLOCK_MONOTONIC, which is the same for all processes. */
const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Bounds how fast a guest's records of each type come. */
export class RateLimiter {
  readonly #now: () => number;
  readonly #buckets = new Map<RecordTypeName, Buckets>();

  /**
   * `levels`: RATE_LEVELS numbers that a former process left, or zeros. `now`: a clock in milliseconds that
   * doesn't go back, in that process neither.
   */
  constructor(
    rates: Rates,
    levels: Float64Array = new Float64Array(RATE_LEVELS),
    now: () => number = monotonicMs,
  ) {
    this.#now = now;
    const nowMs = now();
    RECORD_TYPES.forEach((type, i) => {
      const { bytes, requests } = rates[type] ?? {};
      this.#buckets.set(type, {
        bytes: bytes && new TokenBucket(bytes, levels, 2 * i, nowMs),
        requests: requests && new TokenBucket(requests, levels, 2 * i + 1, nowMs),
      });
    });
  }

  /** Whether a WRITE of so many bytes is within its type's bounds; then it counts. */
  take(type: RecordTypeName, size: number): boolean {
    const { bytes, requests } = this.#buckets.get(type) ?? {};
    const nowMs = this.#now();
    if (bytes?.has(size, nowMs) === false || requests?.has(1, nowMs) === false) return false;
    bytes?.take(size, nowMs);
    requests?.take(1, nowMs);
    return true;
  }
}
