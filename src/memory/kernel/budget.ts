import { MemoryError } from "../errors.js";

/** What one view may cost where none is named: about a second of CPU. */
const DEFAULT_WORK = 1_000_000;

/**
 * Work that is left, in units of about a microsecond. All that is read of a guest spends from it, so that a loop
 * over what a guest made up ends.
 */
export class Budget {
  #left: number;

  constructor(work = DEFAULT_WORK) {
    this.#left = work;
  }

  get left(): number {
    return this.#left;
  }

  /** Throws MemoryError where that much isn't left. */
  spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) {
      throw new MemoryError(
        "TOO_MUCH",
        "reading on would take more than a second: what was read until here is all",
      );
    }
  }

  /** For the next view. */
  renew(work = DEFAULT_WORK): void {
    this.#left = work;
  }
}
