import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { errno, errnoOf } from "../os/errno.js";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * The whole lines of a file of notes that another process may write to, of one with more than `most` bytes the
 * last ones; none where it isn't there or is no regular file. Throws the system call's error.
 */
export function readLines(
  path: string,
  most: number,
  encoding: "latin1" | "utf8" = "latin1",
): string[] {
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) return [];
      const bytes = Buffer.alloc(Math.min(found.size, most));
      const count = readSync(fd, bytes, 0, bytes.length, found.size - bytes.length);
      return bytes.toString(encoding, 0, count).split("\n").slice(0, -1);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return [];
    throw error;
  }
}
