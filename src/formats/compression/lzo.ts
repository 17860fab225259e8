import { CUT, type Decoded, decodeInto } from "./output.js";

/** Literals that the instruction before copied: so many of 0 to 3, or more. */
const MANY = 4;

/** Distance 16384 in the one instruction that can say it ends the stream. */
const END_DISTANCE = 16384;

/** LZO1X, as Linux's Documentation/staging/lzo.rst describes it; without the run lengths of lzo-rle. */
export function decodeLzo(input: Uint8Array, maxBytes: number): Decoded {
  return decodeInto(maxBytes, (output) => {
    let at = 0;
    /** What the instruction before copied, which decides what an opcode below 16 means. */
    let state = 0;
    const next = (): number => {
      const byte = input[at++];
      if (byte === undefined) throw CUT;
      return byte;
    };
    const literals = (count: number): void => {
      output.copy(input, at, count);
      at += count;
      state = Math.min(count, MANY);
    };
    /** A field of which 0 means that more follows: zeros stand for 255 each. */
    const length = (field: number, most: number): number => {
      if (field !== 0) return field;
      let sum = most;
      let byte = next();
      for (; byte === 0; byte = next()) sum += 255;
      return sum + byte;
    };
    /** A match; the lowest two bits of the instruction or its distance say how many literals follow. */
    const match = (distance: number, count: number, low: number): void => {
      output.match(distance, count);
      literals(low & 3);
    };
    const first = input[0] ?? 0;
    if (first > 17) {
      at = 1;
      literals(first - 17);
    }
    for (;;) {
      const op = next();
      if (op >= 64) {
        const count = op < 128 ? 3 + ((op >> 5) & 1) : 5 + ((op >> 5) & 3);
        match((next() << 3) + ((op >> 2) & 7) + 1, count, op);
      } else if (op >= 16) {
        const near = op >= 32;
        const count = 2 + (near ? length(op & 31, 31) : length(op & 7, 7));
        const low = next();
        const back = (low | (next() << 8)) >> 2;
        const distance = near ? back + 1 : END_DISTANCE + ((op & 8) << 11) + back;
        if (!near && distance === END_DISTANCE) return;
        match(distance, count, low);
      } else if (state === 0) {
        literals(3 + length(op, 15));
      } else if (state === MANY) {
        match((next() << 2) + (op >> 2) + 2049, 3, op);
      } else {
        match((next() << 2) + (op >> 2) + 1, 2, op);
      }
    }
  });
}
