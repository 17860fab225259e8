import { fstatSync } from "node:fs";
import { hasReader } from "../os/poll.js";

/**
 * Whether anybody reads a pipe that is our output: a write would tell, but a guest that is silent gives us
 * nothing to write. Where the C library isn't one that we can call, that is all there is.
 */
export function isRead(): boolean {
  try {
    const output = fstatSync(1);
    return !(output.isFIFO() || output.isSocket()) || hasReader(1);
  } catch {
    return true;
  }
}
