/** How a compressed stream ended: at its own end; before that; where its format breaks; or at our limit. */
export type Ending = "whole" | "cut" | "broken" | "too large";

/** What a decoder made of a stream; decoders never throw, whatever the bytes are. */
export interface Decoded {
  /** All there is up to where the stream ended. */
  readonly text: Buffer;
  readonly ending: Ending;
}

/** Why a stream ends early. Made once: there is no stack worth having. */
class Stop extends Error {
  readonly ending: Exclude<Ending, "whole">;

  constructor(ending: Exclude<Ending, "whole">) {
    super(ending);
    this.ending = ending;
  }
}

/** To be thrown by a decoder where its input ends too early. */
export const CUT: Error = new Stop("cut");

/** To be thrown by a decoder where its input isn't of its format. */
export const BROKEN: Error = new Stop("broken");

const TOO_LARGE: Error = new Stop("too large");

const FIRST_BYTES = 8 << 10;

/** What was decoded so far, of which matches are copied; it grows up to a limit. */
export class Output {
  readonly #maxBytes: number;
  #bytes: Uint8Array;
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#bytes = new Uint8Array(Math.min(FIRST_BYTES, maxBytes));
  }

  get length(): number {
    return this.#length;
  }

  text(): Buffer {
    return Buffer.from(this.#bytes.buffer, 0, this.#length);
  }

  /** Appends `count` bytes of `source`; what there is of them, if they are fewer. */
  copy(source: Uint8Array, from: number, count: number): void {
    const there = Math.min(count, source.length - from);
    this.#reserve(there);
    if (there > 32) {
      this.#bytes.set(source.subarray(from, from + there), this.#length);
    } else {
      // Cheaper than a view for what most literals are.
      for (let i = 0; i < there; i++) this.#bytes[this.#length + i] = source[from + i] ?? 0;
    }
    this.#length += there;
    if (there < count) throw CUT;
  }

  fill(byte: number, count: number): void {
    this.#reserve(count);
    this.#bytes.fill(byte, this.#length, this.#length + count);
    this.#length += count;
  }

  /** Appends `count` bytes that begin `distance` before the end; they may overlap what they make. */
  match(distance: number, count: number): void {
    if (distance < 1 || distance > this.#length) throw BROKEN;
    this.#reserve(count);
    const bytes = this.#bytes;
    const end = this.#length + count;
    if (count > 32 && distance >= count) {
      bytes.copyWithin(this.#length, this.#length - distance, end - distance);
    } else {
      for (let at = this.#length; at < end; at++) bytes[at] = bytes[at - distance] ?? 0;
    }
    this.#length = end;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    if (needed > this.#maxBytes) throw TOO_LARGE;
    const larger = new Uint8Array(Math.min(this.#maxBytes, Math.max(needed, 2 * this.#length)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Runs a decoder, which returns at its stream's end, or throws CUT or BROKEN. */
export function decodeInto(maxBytes: number, decode: (output: Output) => void): Decoded {
  const output = new Output(maxBytes);
  let ending: Ending = "whole";
  try {
    decode(output);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    ending = error.ending;
  }
  return { text: output.text(), ending };
}
