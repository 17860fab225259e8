import type { RecordTypeName } from "./record-name.js";

/** What a guest may send of one type. */
export interface Rate {
  /** In the long run. */
  readonly bytesPerSecond: number;
  /** WRITEs, each of which is a record or a piece of a stream. */
  readonly recordsPerSecond: number;
  /** At once, after a pause that was long enough. */
  readonly burstBytes: number;
  readonly burstRecords: number;
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
const DUMP: Rate = {
  bytesPerSecond: MIB,
  recordsPerSecond: 20,
  burstBytes: 128 * MIB,
  burstRecords: 2000,
};

export const DEFAULT_RATES: Required<Rates> = {
  dmesg: DUMP,
  ftrace: DUMP,
  console: {
    bytesPerSecond: MIB,
    recordsPerSecond: 2000,
    burstBytes: 64 * MIB,
    burstRecords: 200_000,
  },
  pmsg: {
    bytesPerSecond: 256 * KIB,
    recordsPerSecond: 500,
    burstBytes: 16 * MIB,
    burstRecords: 20_000,
  },
};

/** Fills at a steady rate up to its burst, with which it begins. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs: number;

  constructor(perSecond: number, burst: number, nowMs: number) {
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

/** Bounds how fast a guest's records of each type come. */
export class RateLimiter {
  readonly #now: () => number;
  readonly #buckets = new Map<RecordTypeName, { bytes: TokenBucket; records: TokenBucket }>();

  /** `now`: a clock in milliseconds that doesn't go back. */
  constructor(rates: Rates, now: () => number = () => performance.now()) {
    this.#now = now;
    const nowMs = now();
    for (const [type, rate] of Object.entries(rates) as [RecordTypeName, Rate][]) {
      this.#buckets.set(type, {
        bytes: new TokenBucket(rate.bytesPerSecond, rate.burstBytes, nowMs),
        records: new TokenBucket(rate.recordsPerSecond, rate.burstRecords, nowMs),
      });
    }
  }

  /** Whether a WRITE of so many bytes is within its type's bounds; then it counts. */
  take(type: RecordTypeName, size: number): boolean {
    const buckets = this.#buckets.get(type);
    if (buckets === undefined) return true;
    const { bytes, records } = buckets;
    const nowMs = this.#now();
    // Both are filled, whatever the first one says.
    const [small, few] = [bytes.has(size, nowMs), records.has(1, nowMs)];
    if (!small || !few) return false;
    bytes.take(size);
    records.take(1);
    return true;
  }
}
