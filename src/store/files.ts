import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
  writevSync,
} from "node:fs";
import { dirname } from "node:path";
import { errno, errnoOf } from "../native/index.js";

/** IOV_MAX: the most buffers that one writev(2) takes. */
const MAX_VECTOR = 1024;

/** Appends all of `data`, or nothing: throws the system call's error then. */
export function append(fd: number, data: readonly Uint8Array[]): void {
  let total = 0;
  try {
    for (let first = 0; first < data.length; first += MAX_VECTOR) {
      const views = data.slice(first, first + MAX_VECTOR);
      let written = writevSync(fd, views);
      total += written;
      // Whatever the kernel didn't take at once.
      for (const view of views) {
        let at = Math.min(written, view.length);
        written -= at;
        while (at < view.length) {
          const more = writeSync(fd, view, at);
          at += more;
          total += more;
        }
      }
    }
  } catch (error) {
    ftruncateSync(fd, fstatSync(fd).size - total);
    throw error;
  }
}

/**
 * As `mkdir -p`, for the owner alone, and durable: a record's directory must not be lost in a crash that
 * the record outlives. Node's own recursive mkdir never ends in some places (/proc).
 */
export function makeDirectory(path: string): void {
  const parent = dirname(path);
  const make = () => {
    try {
      mkdirSync(path, 0o700);
    } catch (error) {
      if (errnoOf(error) === errno.EEXIST) return;
      throw error;
    }
    const fd = openSync(parent, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  };
  try {
    make();
  } catch (error) {
    if (errnoOf(error) !== errno.ENOENT || parent === path) throw error;
    makeDirectory(parent);
    make();
  }
}

export function tryUnlink(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already, or left for the next start to clear away.
  }
}

/** Bytes in all. */
export function lengthOf(data: readonly Uint8Array[]): number {
  return data.reduce((sum, view) => sum + view.length, 0);
}
