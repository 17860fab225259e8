/** As many as a walk through page tables and a structure or two touch again and again. */
const MAX_PAGES = 256;

/** The pages that were decompressed last. */
export class PageCache {
  readonly #pages = new Map<number, Buffer>();

  get(page: number, make: () => Buffer): Buffer {
    const known = this.#pages.get(page);
    const found = known ?? make();
    // What was asked for last goes last.
    this.#pages.delete(page);
    this.#pages.set(page, found);
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= MAX_PAGES) break;
      this.#pages.delete(oldest);
    }
    return found;
  }
}
