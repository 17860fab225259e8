import { MemoryError } from "../errors.js";
import { firstEndingBehind } from "../extents.js";
import type { Extent } from "../physical-memory.js";
import type { Backing } from "./mapped-memory.js";

/** The signature and what else the file begins with take so much; the numbers are big-endian. */
const HEADER_BYTES = 4096;
const PIECE_HEADER_BYTES = 16;
/** So much may be missing in what is read at once: a header is shorter than its block. */
const MAX_MISSING_BYTES = 65536;

/** QEMU writes 16 KiB a piece, makedumpfile far more: that many are a dump of 64 GiB. */
const MAX_PIECES = 1 << 22;
/** Headers may be short; of more pieces than so many, each has that much on average. */
const SHORT_PIECES = 4096;
const USUAL_BYTES = 4096;

interface Part {
  /** In the file that was flattened. */
  readonly start: number;
  readonly size: number;
  /** In this one. */
  readonly at: number;
}

/**
 * A core in the form for pipes, as `makedumpfile -F` and QEMU's `kdump-zlib` write it: pieces, each behind the offset
 * at which it belongs. What comes later replaces a piece of the same offset, which is how a header is written again.
 */
export class FlattenedBacking implements Backing {
  readonly #file: Backing;
  readonly #parts: readonly Part[];

  constructor(file: Backing) {
    this.#file = file;
    this.#parts = partsOf(file);
  }

  data(at: number, size: number): Extent[] {
    const found: Extent[] = [];
    for (let i = firstEndingBehind(this.#parts, at); ; i++) {
      const part = this.#parts[i];
      if (part === undefined || part.start >= at + size) return found;
      const start = Math.max(at, part.start);
      found.push({ start, size: Math.min(at + size, part.start + part.size) - start });
    }
  }

  read(at: number, into: Buffer): void {
    const found = this.data(at, into.length);
    const missing = found.reduce((left, { size }) => left - size, into.length);
    if (missing > MAX_MISSING_BYTES) {
      throw new MemoryError(
        "DAMAGED",
        `the core is damaged: ${missing} of ${into.length} bytes from ${at} on are in no piece`,
      );
    }
    into.fill(0);
    for (const { start, size } of found) {
      const part = this.#parts[firstEndingBehind(this.#parts, start)];
      if (part === undefined) return;
      this.#file.read(part.at + start - part.start, into.subarray(start - at, start - at + size));
    }
  }
}

function partsOf(file: Backing): Part[] {
  const parts = new Map<number, Part>();
  const header = Buffer.alloc(PIECE_HEADER_BYTES);
  for (let at = HEADER_BYTES, count = 0; ; count++) {
    file.read(at, header);
    const start = header.readBigInt64BE(0);
    const size = header.readBigInt64BE(8);
    if (start === -1n && size === -1n) break;
    at += PIECE_HEADER_BYTES;
    const isShort = count > SHORT_PIECES && at < (count - SHORT_PIECES) * USUAL_BYTES;
    if (start < 0n || size <= 0n || start + size > 2n ** 52n || isShort || count === MAX_PIECES) {
      throw new MemoryError(
        "DAMAGED",
        isShort
          ? "the core is damaged: it is in too many pieces of a few bytes"
          : `the core is damaged: a piece of ${size} bytes for ${start}`,
      );
    }
    parts.set(Number(start), { start: Number(start), size: Number(size), at });
    at += Number(size);
  }
  const sorted = [...parts.values()].sort((a, b) => a.start - b.start);
  sorted.forEach(({ start, size }, i) => {
    if (start + size > (sorted[i + 1]?.start ?? Number.POSITIVE_INFINITY)) {
      throw new MemoryError("DAMAGED", `the core is damaged: pieces overlap at ${start}`);
    }
  });
  return sorted;
}
