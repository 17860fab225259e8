/** A random number generator with a seed (sfc32), for inputs that can be made again. */
export class Random {
  #a = 0;
  #b = 0;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#c = seed >>> 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** From 0 to `end` - 1. */
  below(end: number): number {
    return this.u32() % end;
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new RangeError("nothing to pick from");
    return found;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = this.u32();
    return bytes;
  }

  /** Mostly where something may go wrong: small, a power of two or beside one; else anything. */
  interesting32(): number {
    switch (this.below(4)) {
      case 0:
        return this.below(16);
      case 1:
        return ((1 << this.below(32)) + this.below(3) - 1) >>> 0;
      case 2:
        return (0 - this.below(4)) >>> 0;
      default:
        return this.u32();
    }
  }

  interesting64(): bigint {
    if (this.oneIn(2)) return BigInt(this.interesting32());
    return (BigInt(this.interesting32()) << 32n) | BigInt(this.interesting32());
  }
}
