import type { Budget } from "./budget.js";

/** What is asked of a Kernel. */
interface Source {
  readonly budget: Budget;
  attempt<T>(what: string, read: () => T): T | undefined;
}

/**
 * What is read of a kernel when it is first asked for, and kept. Where it can't be read, that is noted, and it is
 * `none`. What a view's budget was too little for is read again with the next budget.
 */
export class Once<T> {
  readonly #source: Source;
  readonly #what: string;
  readonly #none: T;
  readonly #read: () => T;
  #kept: { readonly value: T; readonly upTo: number } | undefined;

  constructor(source: Source, what: string, none: T, read: () => T) {
    this.#source = source;
    this.#what = what;
    this.#none = none;
    this.#read = read;
  }

  get value(): T {
    const { budget } = this.#source;
    if (this.#kept !== undefined && budget.renewals <= this.#kept.upTo) return this.#kept.value;
    // Who reads it may ask for it, too.
    this.#kept = { value: this.#none, upTo: Number.POSITIVE_INFINITY };
    const value = this.#source.attempt(this.#what, this.#read) ?? this.#none;
    // What was read may be a part only.
    this.#kept = { value, upTo: budget.isSpent ? budget.renewals : Number.POSITIVE_INFINITY };
    return value;
  }

  forget(): void {
    this.#kept = undefined;
  }
}
