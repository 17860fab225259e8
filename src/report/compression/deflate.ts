import { constants, type ZlibOptions } from "node:zlib";
import type { Decoded, Ending } from "./output.js";

/** One of node:zlib's: inflateRawSync, inflateSync, gunzipSync. */
type Inflate = (input: Uint8Array, options: ZlibOptions) => Buffer;

/** zlib's formats. What is there of a stream that is cut or broken is found by node:zlib, too. */
export function inflateWith(inflate: Inflate, input: Uint8Array, maxBytes: number): Decoded {
  const upTo = (bytes: number, finishFlush: number): Buffer =>
    inflate(input.subarray(0, bytes), { maxOutputLength: maxBytes, finishFlush });
  let ending: Ending;
  try {
    return { text: upTo(input.length, constants.Z_FINISH), ending: "whole" };
  } catch (error) {
    ending = endingOf(error);
  }
  if (ending === "cut") return { text: upTo(input.length, constants.Z_SYNC_FLUSH), ending };
  // node:zlib gives nothing with an error, so the longest beginning without one is searched for; of what is
  // too large a short one does.
  let good = 0;
  let text: Buffer = Buffer.alloc(0);
  for (let bad = Math.min(input.length, ending === "broken" ? Infinity : 1024); bad - good > 1; ) {
    const middle = (good + bad) >>> 1;
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
