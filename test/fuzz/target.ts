import { createHash } from "node:crypto";
import type { Random } from "./random.js";

/**
 * Code that takes bytes of somebody who isn't trusted. An input is any bytes: the target reads them as
 * it likes, and makes something of all of them.
 */
export interface FuzzTarget {
  /** A new input that means something: bytes alone rarely get past the first check. */
  generate(random: Random): Buffer;
  /**
   * Gives one input to the code, and throws where a rule is broken: the input counts as a failure then.
   * Returns what came of it, in words with spaces between them; an input that leads to something new is
   * kept, to be changed further.
   */
  run(input: Buffer): string;
  /** Throws unless a good guest is still served, and nothing was leaked. From time to time, and at the end. */
  check(): Promise<void>;
  close(): void;
}

/** A rule that the code under test broke. */
export class Broken extends Error {}

export function expect(holds: boolean, rule: string): void {
  if (!holds) throw new Broken(rule);
}

/** Reads an input from its beginning; behind its end there are zeros. */
export class InputReader {
  readonly #input: Buffer;
  #at = 0;

  constructor(input: Buffer) {
    this.#input = input;
  }

  get left(): number {
    return this.#input.length - this.#at;
  }

  u8(): number {
    return this.#input[this.#at++] ?? 0;
  }

  u16(): number {
    return this.u8() | (this.u8() << 8);
  }

  u32(): number {
    return (this.u16() | (this.u16() << 16)) >>> 0;
  }

  /** As many as there are, `length` at most. */
  bytes(length: number): Buffer {
    const bytes = this.#input.subarray(this.#at, this.#at + length);
    this.#at += bytes.length;
    return bytes;
  }
}

/** The name of an input's file. */
export function inputName(input: Uint8Array): string {
  return createHash("sha256").update(input).digest("hex").slice(0, 16);
}
