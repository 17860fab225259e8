import { constants, gunzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { splitHeader } from "./header.js";

/** The most text that one record is taken to hold, in bytes: a small record can't fill the memory. */
const MAX_TEXT_BYTES = 64 << 20;

const options = { maxOutputLength: MAX_TEXT_BYTES, finishFlush: constants.Z_SYNC_FLUSH };

/** Raw deflate since about Linux 6.6 and in Debian's 6.1, zlib before. */
const decoders = [inflateRawSync, inflateSync];

/**
 * The text of a record that the guest compressed. Nothing in a record says how it was compressed, so a decoder's output
 * counts only if it looks like a record. Undefined where none does.
 */
export function decompress(record: Uint8Array): Buffer | undefined {
  for (const decode of decoders) {
    try {
      const text = decode(record, options);
      if (splitHeader(text) !== undefined) return text;
    } catch {
      // Not this one's format.
    }
  }
  return undefined;
}

/** The text of a record that we compressed; undefined where the file is broken. */
export function gunzip(record: Uint8Array): Buffer | undefined {
  try {
    return gunzipSync(record, { maxOutputLength: MAX_TEXT_BYTES });
  } catch {
    return undefined;
  }
}
