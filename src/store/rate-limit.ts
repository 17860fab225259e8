import type { RecordTypeName } from "./record-name.js";

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

/** Fills at a steady rate up to its burst, with which it begins. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs: number;

  constructor({ perSecond, burst }: Bound, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledMs = nowMs;
  }

  has(count: number, nowMs: number): boolean {
    const passed = Math.max(0, nowMs - this.#filledMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + passed * this.#perMs);
    this.#filledMs = nowMs;
    return count <= this.#tokens;
  }

  /** What has() said is there. */
  take(count: number): void {
    this.#tokens -= count;
  }
}

interface Buckets {
  readonly bytes: TokenBucket | undefined;
  readonly requests: TokenBucket | undefined;
}

/** Bounds how fast a guest's records of each type come. */
export class RateLimiter {
  readonly #now: () => number;
  readonly #buckets = new Map<RecordTypeName, Buckets>();

  /** `now`: a clock in milliseconds that doesn't go back. */
  constructor(rates: Rates, now: () => number = () => performance.now()) {
    this.#now = now;
    const nowMs = now();
    for (const [type, { bytes, requests }] of Object.entries(rates) as [RecordTypeName, Rate][]) {
      this.#buckets.set(type, {
        bytes: bytes && new TokenBucket(bytes, nowMs),
        requests: requests && new TokenBucket(requests, nowMs),
      });
    }
  }

  /** Whether a WRITE of so many bytes is within its type's bounds; then it counts. */
  take(type: RecordTypeName, size: number): boolean {
    const { bytes, requests } = this.#buckets.get(type) ?? {};
    const nowMs = this.#now();
    if (bytes?.has(size, nowMs) === false || requests?.has(1, nowMs) === false) return false;
    bytes?.take(size);
    requests?.take(1);
    return true;
  }
}
