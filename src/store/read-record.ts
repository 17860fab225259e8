import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { errno, errnoOf } from "../os/index.js";
import type { RecordName } from "../records/record-name.js";

/** What READ gets of a record. */
export interface RecordContents {
  /** As much of the record as there was room for. */
  readonly data: Buffer;
  /** Nanoseconds since 1970-01-01 UTC. */
  readonly timeNs: bigint;
}

/**
 * The most that one READ returns, and the most text that it inflates, in bytes: as much as the largest WRITE has. It
 * bounds what a guest's buffer can make us allocate, and how long other guests wait for it.
 */
const MAX_READ_BYTES = 4 << 20;

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * A record's contents, at most `room` bytes: of text the newest, of what the guest compressed the
 * first. Undefined where it isn't there (any more). Throws the system call's error, or zlib's.
 */
export function readRecord(
  path: string,
  record: RecordName,
  room: number,
): RecordContents | undefined {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return undefined;
    throw error;
  }
  try {
    const found = fstatSync(fd, { bigint: true });
    if (!found.isFile()) return undefined;
    const { size, mtimeNs } = found;
    const timeNs = mtimeNs > 0n ? mtimeNs : 0n;
    const most = Math.min(room, MAX_READ_BYTES);
    if (record.gzip === true) {
      if (size > MAX_READ_BYTES) throw new RangeError(`${path} has ${size} bytes`);
      // Bounded: its owner may have put any file there.
      const text = gunzipSync(readFileSync(fd), { maxOutputLength: MAX_READ_BYTES });
      // A copy: the whole text must not live for as long as the few bytes that were asked for.
      return { data: Buffer.from(text.subarray(Math.max(0, text.length - most))), timeNs };
    }
    const bytes = Math.min(Number(size), most);
    const data = Buffer.allocUnsafe(bytes);
    const from = record.compressed ? 0 : Number(size) - bytes;
    const count = readSync(fd, data, 0, bytes, from);
    return { data: data.subarray(0, count), timeNs };
  } finally {
    closeSync(fd);
  }
}
