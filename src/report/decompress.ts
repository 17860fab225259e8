import { constants, gunzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { parseHeader } from "../store/index.js";

/**
 * The most text that one record is taken to hold, in bytes: a small record can't fill the memory. Linux
 * puts at most 2.2 times its buffer into a record, and that has 4 MiB at most.
 */
const MAX_TEXT_BYTES = 16 << 20;

// Z_SYNC_FLUSH: of a record that was cut off, what there is.
const options = { maxOutputLength: MAX_TEXT_BYTES, finishFlush: constants.Z_SYNC_FLUSH };

/** Raw deflate since about Linux 6.6 and in Debian's 6.1, zlib before. */
const decoders = [inflateRawSync, inflateSync];

/**
 * The text of a record that the guest compressed, or of a record's beginning the text's. Nothing in a
 * record says how it was compressed, so a decoder's output counts only if it looks like a record.
 * Undefined where none does.
 */
export function decompress(record: Uint8Array): Buffer | undefined {
  for (const decode of decoders) {
    try {
      const text = decode(record, options);
      if (parseHeader(text) !== undefined) return text;
    } catch {
      // Not this one's format.
    }
  }
  return undefined;
}

/** The text of a record that we compressed; undefined where the file is broken. */
export function gunzip(record: Uint8Array): Buffer | undefined {
  return gunzipped(record, constants.Z_FINISH);
}

/** The beginning of that text, from the record's beginning. */
export function gunzipBeginning(record: Uint8Array): Buffer | undefined {
  return gunzipped(record, constants.Z_SYNC_FLUSH);
}

function gunzipped(record: Uint8Array, finishFlush: number): Buffer | undefined {
  try {
    return gunzipSync(record, { maxOutputLength: MAX_TEXT_BYTES, finishFlush });
  } catch {
    return undefined;
  }
}
