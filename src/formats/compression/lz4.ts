import { BROKEN, CUT, type Decoded, decodeInto } from "./output.js";

const MIN_MATCH = 4;

/**
 * An LZ4 block without a frame (lz4_Block_format.md), as pstore's lz4 and lz4hc write it. It has no end mark: it
 * is whole where its last sequence has literals only. Zeros behind it count as padding.
 */
export function decodeLz4(input: Uint8Array, maxBytes: number): Decoded {
  return decodeInto(maxBytes, (output) => {
    let at = 0;
    const next = (): number => {
      const byte = input[at++];
      if (byte === undefined) throw CUT;
      return byte;
    };
    /** A field of four bits, of which the highest value means that more follows. */
    const length = (field: number): number => {
      let sum = field;
      if (field < 15) return sum;
      let byte: number;
      do {
        byte = next();
        sum += byte;
      } while (byte === 255);
      return sum;
    };
    for (;;) {
      const token = next();
      const literals = length(token >> 4);
      output.copy(input, at, literals);
      at += literals;
      if (at === input.length) return;
      const low = next();
      if (at === input.length && low === 0) return;
      const distance = low | (next() << 8);
      if (distance === 0) {
        if (output.length > 0 && input.subarray(at).every((byte) => byte === 0)) return;
        throw BROKEN;
      }
      output.match(distance, MIN_MATCH + length(token & 15));
    }
  });
}
