import { errno } from "../os/index.js";
import type { Files } from "./files.js";
import { RefusedError } from "./refused-error.js";

/** So much of a file system is left free for others: the lesser of the two. */
export interface MinFree {
  readonly bytes: number;
  /** From 0 to 1, of its size. */
  readonly share: number;
}

/** 5 % of a small disk; of a large one that would be more than anybody needs. */
export const DEFAULT_MIN_FREE: MinFree = { bytes: 1 << 30, share: 0.05 };

/** What is known of a file system's free space counts for so long. */
const CHECK_MS = 1000;

/** Keeps a file system from being filled. */
export class FreeSpace {
  readonly #files: Files;
  readonly #minFree: MinFree;
  readonly #now: () => number;
  #checkedMs = Number.NEGATIVE_INFINITY;
  /** May be written until the next look. */
  #left = 0;

  /** `now`: a clock in milliseconds that doesn't go back. */
  constructor(files: Files, minFree: MinFree, now: () => number = () => performance.now()) {
    this.#files = files;
    this.#minFree = minFree;
    this.#now = now;
  }

  /** Throws RefusedError where so many bytes more in a directory would leave too little. */
  expect(directory: string, bytes: number): void {
    // The disk itself says when it is full.
    if (this.#minFree.bytes === 0 || this.#minFree.share === 0) return;
    const nowMs = this.#now();
    if (nowMs - this.#checkedMs >= CHECK_MS || bytes > this.#left) {
      this.#checkedMs = nowMs;
      this.#left = this.#leftIn(directory);
    }
    if (bytes > this.#left) {
      const why = `${directory}: storing it would leave less free space than --min-free`;
      throw new RefusedError("FREE_SPACE", errno.ENOSPC, why);
    }
    this.#left -= bytes;
  }

  #leftIn(directory: string): number {
    const { bavail, blocks, bsize } = this.#files.statfs(directory);
    // One that has no size of its own tells none.
    if (blocks === 0) return Number.POSITIVE_INFINITY;
    const floor = Math.min(this.#minFree.bytes, this.#minFree.share * blocks * bsize);
    return bavail * bsize - floor;
  }
}
