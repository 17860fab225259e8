import type { ZlibOptions } from "node:zlib";
import { zlib } from "../../os/builtins.js";
import type { Decoded, Ending } from "./output.js";

/** One of node:zlib's: inflateRawSync, inflateSync, gunzipSync. */
type Inflate = (input: Uint8Array, options: ZlibOptions) => Buffer;

/** What is tried first of a stream that breaks: what is no stream at all mostly does so within these. */
const FIRST_BYTES = 16;

/** More than any record's first line. */
const FIRST_LINE_BYTES = 512;

/** zlib's formats. What is there of a stream that is cut or broken is found by node:zlib, too. */
export function inflateWith(inflate: Inflate, input: Uint8Array, maxBytes: number): Decoded {
  const { constants } = zlib();
  const upTo = (bytes: number, finishFlush: number): Buffer =>
    inflate(input.subarray(0, bytes), { maxOutputLength: maxBytes, finishFlush });
  let ending: Ending;
  try {
    return { text: upTo(input.length, constants.Z_FINISH), ending: "whole" };
  } catch (error) {
    ending = endingOf(error);
  }
  if (ending === "cut") {
    try {
      return { text: upTo(input.length, constants.Z_SYNC_FLUSH), ending };
    } catch (error) {
      // Just as much as is allowed, and then the cut.
      ending = endingOf(error);
    }
  }
  // node:zlib gives nothing with an error, so the longest beginning without one is searched for, in steps that
  // double first; of what is too large, one that holds the record's first line will do.
  let text: Buffer = Buffer.alloc(0);
  let good = 0;
  let bad = input.length;
  for (let step = FIRST_BYTES; bad - good > 1; step *= 2) {
    if (ending === "too large" && text.length >= FIRST_LINE_BYTES) break;
    const middle = Math.min(good + step, (good + bad) >>> 1);
    try {
      text = upTo(middle, constants.Z_SYNC_FLUSH);
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return { text, ending };
}

function endingOf(error: unknown): Ending {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "Z_BUF_ERROR") return "cut";
  return code === "ERR_BUFFER_TOO_LARGE" ? "too large" : "broken";
}
