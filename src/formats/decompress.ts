import { zlib } from "../os/builtins.js";
import { parseHeader, type RecordHeader } from "../records/index.js";
import { decode842 } from "./compression/842.js";
import { inflateWith } from "./compression/deflate.js";
import { decodeLz4 } from "./compression/lz4.js";
import { decodeLzo } from "./compression/lzo.js";
import type { Decoded } from "./compression/output.js";
import { decodeZstd } from "./compression/zstd.js";

/**
 * The most text that one record is taken to hold, in bytes: a small record can't fill the memory. Linux
 * puts at most 2.2 times its buffer into a record, and that has 4 MiB at most.
 */
export const MAX_TEXT_BYTES = 16 << 20;

/** Longer than any first line, and than what the formats' longest blocks (zstd's) hold. */
const MAX_BEGINNING_BYTES = 256 << 10;

type Decoder = (record: Uint8Array, maxBytes: number) => Decoded;

/** Everything that pstore ever compressed with; lz4hc writes what lz4 does. */
const DECODERS = {
  /** Since about Linux 6.6, and in Debian's 6.1. */
  deflate: (record, most) => inflateWith(zlib().inflateRawSync, record, most),
  /** Before that. */
  zlib: (record, most) => inflateWith(zlib().inflateSync, record, most),
  /** From Linux 4.7 or later to 6.5, like those below. */
  zstd: decodeZstd,
  lzo: decodeLzo,
  lz4: decodeLz4,
  "842": decode842,
} satisfies Record<string, Decoder>;

export type Compression = keyof typeof DECODERS;

/** A record's text, and what read it. */
export interface Decompressed extends Decoded {
  readonly compression: Compression;
}

const COMPRESSIONS = ["deflate", "zlib", "zstd", "lzo", "lz4", "842"] as const;

/**
 * The text of a record that the guest compressed. Nothing in a record says how it was compressed, so
 * every decoder is tried, and what one makes of it counts only if it begins as a record does, with
 * pstore's own line. The first that reads all of it is right; of a record that is damaged, the one that
 * reads most. Undefined where none reads it.
 */
export function decompress(record: Uint8Array): Decompressed | undefined {
  let best: Decompressed | undefined;
  for (const compression of COMPRESSIONS) {
    const decoded = DECODERS[compression](record, MAX_TEXT_BYTES);
    if (parseHeader(decoded.text) === undefined) continue;
    if (decoded.ending === "whole") return { ...decoded, compression };
    if (best === undefined || decoded.text.length > best.text.length) {
      best = { ...decoded, compression };
    }
  }
  return best;
}

/** The header of a record of whose bytes only the beginning is there, or more; not all of it is decompressed. */
export function compressedHeader(beginning: Uint8Array): RecordHeader | undefined {
  for (const compression of COMPRESSIONS) {
    const { text } = DECODERS[compression](beginning, MAX_BEGINNING_BYTES);
    const found = parseHeader(text);
    if (found !== undefined) return found.header;
  }
  return undefined;
}

/** The text of a record that was compressed on the host, whatever it holds: at most `maxBytes`. */
export function gunzip(record: Uint8Array, maxBytes = MAX_TEXT_BYTES): Decoded {
  return inflateWith(zlib().gunzipSync, record, maxBytes);
}
