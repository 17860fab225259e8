/** The newest of what comes, up to a bound: of what a guest makes up there is any amount. */
export class Newest<T> {
  readonly #most: number;
  readonly #weightOf: (one: T) => number;
  #all: T[] = [];
  /** Those before are left out. */
  #first = 0;
  #weight = 0;
  #leftOut = 0;

  /** What is kept weighs `most` at most, but the very newest is kept in any case. */
  constructor(most: number, weightOf: (one: T) => number = () => 1) {
    this.#most = most;
    this.#weightOf = weightOf;
  }

  add(one: T): void {
    this.#all.push(one);
    this.#weight += this.#weightOf(one);
    while (this.#weight > this.#most && this.#first < this.#all.length - 1) {
      const oldest = this.#all[this.#first++];
      if (oldest !== undefined) this.#weight -= this.#weightOf(oldest);
      this.#leftOut++;
    }
    if (this.#first * 2 <= this.#all.length) return;
    this.#all = this.#all.slice(this.#first);
    this.#first = 0;
  }

  /** The oldest first. */
  get list(): readonly T[] {
    return this.#all.slice(this.#first);
  }

  /** How many were left out. */
  get leftOut(): number {
    return this.#leftOut;
  }
}
