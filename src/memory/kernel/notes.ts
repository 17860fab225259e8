/** More different ones say nothing. */
const MAX_NOTES = 100;

/** What couldn't be read, and why: a line each, which stands once. */
export class Notes {
  readonly #counts = new Map<string, number>();
  #more = 0;

  add(line: string): void {
    const count = this.#counts.get(line);
    if (count === undefined && this.#counts.size === MAX_NOTES) this.#more++;
    else this.#counts.set(line, (count ?? 0) + 1);
  }

  /** The lines, in the order in which they came first. */
  get lines(): string[] {
    const lines = [...this.#counts].map(([line, count]) =>
      count === 1 ? line : `${line} (${count} times)`,
    );
    return this.#more === 0 ? lines : [...lines, `${this.#more} more notes`];
  }

  /** Takes them away, for the next view. */
  take(): string[] {
    const { lines } = this;
    this.#counts.clear();
    this.#more = 0;
    return lines;
  }
}
