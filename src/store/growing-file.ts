import { type Bytes, MAX_VECTOR } from "../os/index.js";
import type { Files } from "./files.js";

/** An open file that grows at its end (O_APPEND), each time by all of what it is given or by nothing. */
export class GrowingFile {
  readonly fd: number;
  readonly #files: Files;
  /** Bytes at the end that should have been taken back, and couldn't be. */
  #torn = 0;

  constructor(files: Files, fd: number) {
    this.#files = files;
    this.fd = fd;
  }

  /** Throws the system call's error; then nothing of `data` stays once the next append() succeeds. */
  append(data: readonly Bytes[]): void {
    this.mend();
    try {
      for (let first = 0; first < data.length; first += MAX_VECTOR) {
        let pieces = data.slice(first, first + MAX_VECTOR);
        while (pieces.length > 0) {
          const written = this.#files.write(this.fd, pieces);
          this.#torn += written;
          pieces = behind(pieces, written);
        }
      }
      this.#torn = 0;
    } catch (error) {
      try {
        this.mend();
      } catch {
        // Before the next append, then.
      }
      throw error;
    }
  }

  /**
   * Takes back what is left of an append() that failed, counted from the file's end as it is now: its owner
   * may have cut it. Throws the system call's error.
   */
  mend(): void {
    if (this.#torn === 0) return;
    const { size } = this.#files.fstat(this.fd);
    this.#files.truncate(this.fd, Math.max(0, size - this.#torn));
    this.#torn = 0;
  }
}

/** What is left of `pieces` behind their first `bytes`. */
function behind(pieces: readonly Bytes[], bytes: number): Bytes[] {
  let left = bytes;
  return pieces.flatMap((piece) => {
    const skip = Math.min(left, piece.length);
    left -= skip;
    return skip < piece.length ? [piece.subarray(skip)] : [];
  });
}
