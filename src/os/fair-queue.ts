/** What somebody used counts ever less: after so long, a third of it. */
const FORGET_MS = 2000;

/** One of those who take turns. All are 0 at first, and no others' to change. */
export interface Claim {
  /** What it has used, as that counted at `atMs`: milliseconds. */
  usedMs: number;
  atMs: number;
  /** While it waits: its place in the order. */
  dueMs: number;
}

/**
 * Those who wait for a turn at something that only one can have at a time. The next one is whose time has come
 * first: when it began to wait, and as much later as it has used of late. So whoever uses little goes before those
 * who use all that they get, also with many requests in a row; and nobody waits longer than it has used itself, and
 * for one turn of each other one, however many of them come back after a pause.
 */
export class FairQueue<T extends Claim> {
  readonly #waiting = new Set<T>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Waits from `nowMs` on; nothing changes for one that waits already. */
  add(one: T, nowMs: number): void {
    if (this.#waiting.has(one)) return;
    this.#forget(one, nowMs);
    one.dueMs = nowMs + one.usedMs;
    this.#waiting.add(one);
  }

  /** Takes the next one out; undefined where none waits. */
  take(): T | undefined {
    let first: T | undefined;
    for (const one of this.#waiting) {
      if (first === undefined || one.dueMs < first.dueMs) first = one;
    }
    if (first !== undefined) this.#waiting.delete(first);
    return first;
  }

  /** One has had a turn that took so long. */
  charge(one: T, tookMs: number, nowMs: number): void {
    this.#forget(one, nowMs);
    one.usedMs += tookMs;
  }

  #forget(one: T, nowMs: number): void {
    one.usedMs *= Math.exp((one.atMs - nowMs) / FORGET_MS);
    one.atMs = nowMs;
  }
}
