import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { errno, errnoOf } from "../os/errno.js";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * The whole lines of a file of notes that another process may write to, of one with more than `most` bytes the
 * last ones; none where it isn't there or is no regular file. Throws the system call's error.
 */
export function readLines(path: string, most: number): string[] {
  const bytes = readEnd(path, (size) => Math.min(size, most));
  return bytes.toString("latin1").split("\n").slice(0, -1);
}

/** The text of such a file, UTF-8; empty where it has more than `most` bytes, isn't there or is no regular file. */
export const readText = (path: string, most: number): string =>
  readEnd(path, (size) => (size <= most ? size : 0)).toString("utf8");

/** As many bytes of a file's end as `wanted` says of its size. */
function readEnd(path: string, wanted: (size: number) => number): Buffer {
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) return Buffer.alloc(0);
      const bytes = Buffer.alloc(wanted(found.size));
      const count = readSync(fd, bytes, 0, bytes.length, found.size - bytes.length);
      return bytes.subarray(0, count);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return Buffer.alloc(0);
    throw error;
  }
}
