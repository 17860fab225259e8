import { BROKEN } from "./output.js";

/** A bit stream that is read from its end to its beginning (RFC 8878, 4.1); its last 1 bit is a mark. */
export class BackwardBits {
  readonly #bytes: Uint8Array;
  /** Bits that are left; below zero where more was read than there is. */
  left: number;

  constructor(bytes: Uint8Array) {
    const last = bytes.at(-1) ?? 0;
    if (last === 0) throw BROKEN;
    this.#bytes = bytes;
    this.left = 8 * bytes.length - 1 - Math.clz32(last << 24);
  }

  /** The next bits, 24 at most; zeros where there are none. */
  read(count: number): number {
    this.left -= count;
    const shift = this.left & 7;
    const at = this.left >> 3;
    const bytes = this.#bytes;
    const four =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    return (four >>> shift) & ((1 << count) - 1);
  }
}

/** Bits from the beginning, least significant first, as a table's description has them. */
export class ForwardBits {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes that were begun. */
  get bytes(): number {
    return (this.#at + 7) >> 3;
  }

  /** The next bits, 16 at most, which stay. */
  peek(count: number): number {
    const byte = this.#at >> 3;
    const three =
      (this.#bytes[byte] ?? 0) |
      ((this.#bytes[byte + 1] ?? 0) << 8) |
      ((this.#bytes[byte + 2] ?? 0) << 16);
    return (three >>> (this.#at & 7)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#at += count;
    if (this.#at > 8 * this.#bytes.length) throw BROKEN;
  }

  read(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }
}
