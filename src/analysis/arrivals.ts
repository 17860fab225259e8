import { keyOf } from "../records/record.js";
import { type Crash, QUIET_MS } from "./crashes.js";

/**
 * When the parts of an ERST file's crashes came. Their own times are the guest's claim, and the file's
 * needn't change when QEMU writes: what counts is when somebody who looks from time to time saw them first.
 */
export class Arrivals {
  readonly #now: () => number;
  /** In milliseconds, by the parts. */
  #seen = new Map<string, number>();

  /** `now`: a clock in milliseconds that doesn't go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Takes note of all that is there, which may be more than what was there before, or less. */
  note(crashes: readonly Crash[]): void {
    const before = this.#seen;
    const nowMs = this.#now();
    const parts = crashes.flatMap(({ dump }) => dump.parts.map(keyOf));
    this.#seen = new Map(parts.map((key) => [key, before.get(key) ?? nowMs]));
  }

  /** Whether nothing more of a crash that was noted is to come: its last part came long enough ago. */
  isSettled({ dump }: Crash): boolean {
    const nowMs = this.#now();
    return dump.parts.every((part) => nowMs - (this.#seen.get(keyOf(part)) ?? nowMs) > QUIET_MS);
  }
}
