import { MemoryError } from "../errors.js";

/** What one view may cost where none is named: about a second of CPU. */
const DEFAULT_WORK = 1_000_000;

/** What one view may keep of what it has read. */
const MAX_KEPT_BYTES = 256 << 20;

/**
 * Work that is left, in units of about a microsecond. All that is read of a guest spends from it, so that a loop
 * over what a guest made up ends.
 */
export class Budget {
  #left: number;
  #room = MAX_KEPT_BYTES;
  #renewals = 0;

  constructor(work = DEFAULT_WORK) {
    this.#left = work;
  }

  get left(): number {
    return this.#left;
  }

  /** How often there was a new one. */
  get renewals(): number {
    return this.#renewals;
  }

  /** Whether something took more than was left. */
  get isSpent(): boolean {
    return this.#left < 0 || this.#room < 0;
  }

  /** Throws MemoryError where that much isn't left. */
  spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw tooMuch("more than a second");
  }

  /** For what is read and kept. Throws MemoryError where there isn't as much room. */
  keep(bytes: number): void {
    this.#room -= bytes;
    if (this.#room < 0) throw tooMuch(`more than ${MAX_KEPT_BYTES >> 20} MiB of memory`);
  }

  /** For the next part of a view: what was kept before stays kept. */
  renewWork(): void {
    this.#left = DEFAULT_WORK;
  }

  /** For the next view. */
  renew(work = DEFAULT_WORK): void {
    this.#left = work;
    this.#room = MAX_KEPT_BYTES;
    this.#renewals++;
  }
}

const tooMuch = (what: string): MemoryError =>
  new MemoryError("TOO_MUCH", `reading on would take ${what}: what was read until here is all`);
