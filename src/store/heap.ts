/** A binary heap: the least of what is in it is found at once, and taking it or adding one costs log n. */
export class Heap<T> {
  readonly #isLess: (a: T, b: T) => boolean;
  readonly #items: T[] = [];

  constructor(isLess: (a: T, b: T) => boolean) {
    this.#isLess = isLess;
  }

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfLess(at, parent)) return;
      at = parent;
    }
  }

  /** Takes the least out; undefined where there is none. */
  take(): T | undefined {
    const [least] = this.#items;
    const last = this.#items.pop();
    if (last === undefined || this.#items.length === 0) return last;
    this.#items[0] = last;
    for (let at = 0, child = 1; child < this.#items.length; at = child, child = 2 * at + 1) {
      if (this.#isLessAt(child + 1, child)) child++;
      if (!this.#swapIfLess(child, at)) break;
    }
    return least;
  }

  #isLessAt(a: number, b: number): boolean {
    const [one, other] = [this.#items[a], this.#items[b]];
    return one !== undefined && other !== undefined && this.#isLess(one, other);
  }

  #swapIfLess(a: number, b: number): boolean {
    const [one, other] = [this.#items[a], this.#items[b]];
    if (one === undefined || other === undefined || !this.#isLess(one, other)) return false;
    this.#items[a] = other;
    this.#items[b] = one;
    return true;
  }
}
