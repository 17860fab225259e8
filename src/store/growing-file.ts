import type { Files } from "./files.js";

/** IOV_MAX: the most buffers that one writev(2) takes. */
const MAX_VECTOR = 1024;

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
  append(data: readonly Uint8Array[]): void {
    this.mend();
    try {
      for (let first = 0; first < data.length; first += MAX_VECTOR) {
        let views = data.slice(first, first + MAX_VECTOR);
        while (views.length > 0) {
          const written = this.#files.write(this.fd, views);
          this.#torn += written;
          views = behind(views, written);
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

/** What is left of `views` behind their first `bytes`. */
function behind(views: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  return views.flatMap((view) => {
    const skip = Math.min(left, view.length);
    left -= skip;
    return skip < view.length ? [view.subarray(skip)] : [];
  });
}
