import type { LogEvent } from "../vhost-user/index.js";

/** Events of one code told at once. */
const BURST = 10;

/** One more is told for each such span. */
const REFILL_MS = 5000;

interface Bucket {
  tokens: number;
  refilledAt: number;
  suppressed: number;
  /** The last event that wasn't told. */
  held: LogEvent | undefined;
}

/**
 * Bounds how much a guest can make us write to the log: for each code a burst, then one line for each
 * span, which says how many were left out. The codes are ours, so there are few buckets.
 */
export class LogLimiter {
  readonly #buckets = new Map<string, Bucket>();
  readonly #tell: (event: LogEvent, suppressed: number) => void;
  readonly #now: () => number;

  constructor(
    tell: (event: LogEvent, suppressed: number) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#tell = tell;
    this.#now = now;
  }

  log(event: LogEvent): void {
    const now = this.#now();
    const bucket = this.#buckets.get(event.code) ?? {
      tokens: BURST,
      refilledAt: now,
      suppressed: 0,
      held: undefined,
    };
    this.#buckets.set(event.code, bucket);
    const refill = Math.floor((now - bucket.refilledAt) / REFILL_MS);
    if (refill > 0) {
      bucket.tokens = Math.min(BURST, bucket.tokens + refill);
      bucket.refilledAt += refill * REFILL_MS;
    }
    if (bucket.tokens === 0) {
      bucket.suppressed++;
      bucket.held = event;
      return;
    }
    bucket.tokens--;
    this.#tell(event, bucket.suppressed);
    bucket.suppressed = 0;
  }

  /** Tells what was left out since the last line of each code: the guest is gone, or we are. */
  flush(): void {
    for (const bucket of this.#buckets.values()) {
      if (bucket.suppressed === 0 || bucket.held === undefined) continue;
      this.#tell(bucket.held, bucket.suppressed - 1);
      bucket.suppressed = 0;
    }
  }
}
