import { constants } from "node:fs";
import { join } from "node:path";
import { gunzipSync, constants as zlib } from "node:zlib";
import { type Bytes, copyOf } from "../os/index.js";
import { parseHeader, type RecordHeader } from "../records/dump-header.js";
import { formatRecordName, type RecordName, recordKey } from "../records/record-name.js";
import { type Files, isSystemError } from "./files.js";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** Longer than any first line, compressed or not. */
const BEGINNING_BYTES = 1024;

/** More text than this doesn't come from so short a beginning, unless somebody means ill. */
const MAX_TEXT_BYTES = 2 << 20;

/** The first lines of a directory's dumps: noted when they are written, read when they were there before. */
export class DumpHeaders {
  readonly #files: Files;
  readonly #directory: string;
  readonly #known = new Map<string, RecordHeader | undefined>();

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** A record is written that begins so. */
  note(name: RecordName, header: RecordHeader | undefined): void {
    this.#known.set(recordKey(name), header);
  }

  /** Undefined where the record has no such line, or the guest compressed it. */
  get(name: RecordName): RecordHeader | undefined {
    const key = recordKey(name);
    if (!this.#known.has(key)) this.#known.set(key, this.#read(name));
    return this.#known.get(key);
  }

  /** A record is gone. */
  forget(name: RecordName): void {
    this.#known.delete(recordKey(name));
  }

  #read(name: RecordName): RecordHeader | undefined {
    if (name.compressed) return undefined;
    const path = join(this.#directory, formatRecordName(name));
    const beginning = Buffer.alloc(BEGINNING_BYTES);
    try {
      const fd = this.#files.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        const stored = beginning.subarray(0, this.#files.read(fd, beginning, 0));
        return parseHeader(name.gzip === true ? gunzipped(stored) : stored)?.header;
      } finally {
        this.#files.close(fd);
      }
    } catch (error) {
      if (isSystemError(error)) return undefined;
      throw error;
    }
  }
}

/** The first line of `data`, as a guest sends it; undefined where there is none, or the guest compressed it. */
export function headerOf(
  { compressed }: Pick<RecordName, "compressed">,
  data: readonly Bytes[],
): RecordHeader | undefined {
  return compressed ? undefined : parseHeader(beginningOf(data))?.header;
}

function beginningOf(data: readonly Bytes[]): Uint8Array {
  const beginning: Bytes[] = [];
  let left = BEGINNING_BYTES;
  for (const all of data) {
    if (left === 0) break;
    const piece = all.subarray(0, left);
    beginning.push(piece);
    left -= piece.length;
  }
  return copyOf(beginning);
}

function gunzipped(beginning: Uint8Array): Uint8Array {
  try {
    const options = { finishFlush: zlib.Z_SYNC_FLUSH, maxOutputLength: MAX_TEXT_BYTES };
    return gunzipSync(beginning, options);
  } catch {
    return new Uint8Array();
  }
}
