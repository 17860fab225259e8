import { constants, inflateRawSync, inflateSync } from "node:zlib";

/** The most text that one record is taken to hold, in bytes: a small record can't fill the memory. */
const MAX_TEXT_BYTES = 64 << 20;

/** pstore's own first line, such as `Panic#1 Part1` (fs/pstore/platform.c). */
const HEADER = /^[A-Z][A-Za-z ]*#[0-9]+ Part[0-9]+\n/;

const options = { maxOutputLength: MAX_TEXT_BYTES, finishFlush: constants.Z_SYNC_FLUSH };

/** Raw deflate since about Linux 6.6 and in Debian's 6.1, zlib before. */
const decoders = [inflateRawSync, inflateSync];

/** Whether bytes begin as a record that pstore's core wrote does. */
export function isRecordText(bytes: Uint8Array): boolean {
  return HEADER.test(Buffer.from(bytes.subarray(0, 128)).toString("latin1"));
}

/**
 * A compressed record's text. Nothing in a record says how it was compressed, so a decoder's output
 * counts only if it looks like a record. Undefined where none does.
 */
export function decompress(record: Uint8Array): Buffer | undefined {
  for (const decode of decoders) {
    try {
      const text = decode(record, options);
      if (isRecordText(text)) return text;
    } catch {
      // Not this one's format.
    }
  }
  return undefined;
}
