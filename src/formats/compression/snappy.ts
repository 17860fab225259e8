import { BROKEN, CUT, type Decoded, decodeInto } from "./output.js";

/** Snappy's raw format (google/snappy, format_description.txt), as kdump-compressed cores have it. */
export function decodeSnappy(input: Uint8Array, maxBytes: number): Decoded {
  return decodeInto(maxBytes, (output) => {
    let at = 0;
    const next = (): number => {
      const byte = input[at++];
      if (byte === undefined) throw CUT;
      return byte;
    };
    const little = (bytes: number): number => {
      let value = 0;
      for (let i = 0; i < bytes; i++) value += next() * 256 ** i;
      return value;
    };
    // The length comes first, as a varint. Nothing is allocated for it.
    for (let i = 0; next() >= 0x80; i++) if (i === 4) throw BROKEN;
    while (at < input.length) {
      const tag = next();
      const high = tag >> 2;
      if ((tag & 3) === 0) {
        const count = 1 + (high < 60 ? high : little(high - 59));
        output.copy(input, at, count);
        at += count;
      } else if ((tag & 3) === 1) {
        output.match(((tag >> 5) << 8) + next(), 4 + (high & 7));
      } else {
        output.match(little((tag & 3) === 2 ? 2 : 4), 1 + high);
      }
    }
  });
}
