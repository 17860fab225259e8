import { BROKEN, CUT, type Decoded, decodeInto } from "./output.js";

/**
 * What each template writes, in order: 8 bytes altogether, as data or as an index to what was written before
 * (lib/842/842.h in Linux).
 */
const TEMPLATES = [
  ...["D8", "D4 D2 I2", "D4 I2 D2", "D4 I2 I2", "D4 I4", "D2 I2 D4", "D2 I2 D2 I2", "D2 I2 I2 D2"],
  ...["D2 I2 I2 I2", "D2 I2 I4", "I2 D2 D4", "I2 D4 I2", "I2 D2 I2 D2", "I2 D2 I2 I2", "I2 D2 I4"],
  ...["I2 I2 D4", "I2 I2 D2 I2", "I2 I2 I2 D2", "I2 I2 I2 I2", "I2 I2 I4", "I4 D4", "I4 D2 I2"],
  ...["I4 I2 D2", "I4 I2 I2", "I4 I4", "I8"],
].map((template) =>
  template.split(" ").map((action) => ({ data: action[0] === "D", bytes: Number(action[1]) })),
);

const REPEAT = 0x1b;
const ZEROS = 0x1c;
/** Linux's own addition: fewer than 8 bytes. */
const SHORT_DATA = 0x1d;
const END = 0x1e;

const INDEX_BITS: Readonly<Record<number, number>> = { 2: 8, 4: 9, 8: 8 };

/** 842 as Linux's software writes it: templates of 5 bits, most significant bit first, and a CRC at the end. */
export function decode842(input: Uint8Array, maxBytes: number): Decoded {
  return decodeInto(maxBytes, (output) => {
    /** In bits. */
    let at = 0;
    /** The next bits, 16 at most. */
    const bits = (count: number): number => {
      if (at + count > 8 * input.length) throw CUT;
      const byte = at >>> 3;
      const three =
        ((input[byte] ?? 0) << 16) | ((input[byte + 1] ?? 0) << 8) | (input[byte + 2] ?? 0);
      const value = (three >>> (24 - (at & 7) - count)) & ((1 << count) - 1);
      at += count;
      return value;
    };
    const data = (count: number): void => {
      for (let i = 0; i < count; i++) output.fill(bits(8), 1);
    };
    /** Copies the newest bytes that lie at this index of a ring; nothing of the 8 that are being written. */
    const indexed = (bytes: number): void => {
      const width = INDEX_BITS[bytes] ?? 0;
      const ring = bytes << width;
      const written = output.length - (output.length % 8);
      const offset = bits(width) * bytes;
      const position = written <= ring ? offset : written - 1 - mod(written - 1 - offset, ring);
      if (position + bytes > written) throw BROKEN;
      output.match(output.length - position, bytes);
    };
    for (;;) {
      const op = bits(5);
      const template = TEMPLATES[op];
      if (template !== undefined) {
        for (const action of template) {
          if (action.data) data(action.bytes);
          else indexed(action.bytes);
        }
      } else if (op === REPEAT) {
        output.match(8, 8 * (bits(6) + 1));
      } else if (op === ZEROS) {
        output.fill(0, 8);
      } else if (op === SHORT_DATA) {
        data(bits(3));
      } else if (op === END) {
        const crc = ((bits(16) << 16) | bits(16)) >>> 0;
        if (crc !== crc32(output.text())) throw BROKEN;
        return;
      } else {
        throw BROKEN;
      }
    }
  });
}

const mod = (value: number, modulus: number): number => ((value % modulus) + modulus) % modulus;

/** CRC-32's polynomial, most significant bit first and without inversion: Linux's crc32_be() with seed 0. */
function crc32(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = (crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ byte] ?? 0);
  return crc >>> 0;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc;
});
