/** Tells on a terminal how far a command is that takes long. */
export class Progress {
  readonly #what: string;
  readonly #began = performance.now();
  #count = 0;
  #told = 0;

  /** `what` is read, as in `crashes`. */
  constructor(what: string) {
    this.#what = what;
  }

  step(): void {
    this.#count++;
    const now = performance.now();
    if (now - this.#began < 2000 || now - this.#told < 200 || !process.stderr.isTTY) return;
    this.#told = now;
    process.stderr.write(`\rvirtio-pstore: read ${this.#count} ${this.#what}`);
  }

  end(): void {
    if (this.#told > 0) process.stderr.write("\r\u001b[K");
  }
}
