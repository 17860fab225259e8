/** Events of one code told at once. */
const BURST = 10;

/** One more is told for each such span. */
const REFILL_MS = 5000;

interface Bucket<T> {
  tokens: number;
  refilledAt: number;
  /** Events that weren't told, and the last of them. */
  untold: number;
  held: T | undefined;
}

/**
 * Bounds how much a guest can make us write to the log: for each code a burst, then one line for each
 * span, which says how many were left out. The codes are ours, so there are few buckets.
 */
export class LogLimiter<T> {
  readonly #buckets = new Map<string, Bucket<T>>();
  readonly #tell: (event: T, suppressed: number) => void;
  readonly #now: () => number;

  constructor(
    tell: (event: T, suppressed: number) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#tell = tell;
    this.#now = now;
  }

  log(code: string, event: T): void {
    const bucket = this.#buckets.get(code) ?? {
      tokens: BURST,
      refilledAt: this.#now(),
      untold: 0,
      held: undefined,
    };
    this.#buckets.set(code, bucket);
    bucket.held = event;
    bucket.untold++;
    this.#tellInTurn(bucket);
  }

  /** The guest is gone: tells what was left out of each code that may have another line. */
  flush(): void {
    for (const bucket of this.#buckets.values()) this.#tellInTurn(bucket);
  }

  /** The daemon ends: tells what was left out of every code. */
  end(): void {
    for (const bucket of this.#buckets.values()) this.#tellHeld(bucket);
  }

  #tellInTurn(bucket: Bucket<T>): void {
    if (bucket.held === undefined) return;
    const refill = Math.floor((this.#now() - bucket.refilledAt) / REFILL_MS);
    bucket.tokens = Math.min(BURST, bucket.tokens + refill);
    bucket.refilledAt += refill * REFILL_MS;
    if (bucket.tokens === 0) return;
    bucket.tokens--;
    this.#tellHeld(bucket);
  }

  #tellHeld(bucket: Bucket<T>): void {
    const { held, untold } = bucket;
    if (held === undefined) return;
    bucket.held = undefined;
    bucket.untold = 0;
    this.#tell(held, untold - 1);
  }
}
