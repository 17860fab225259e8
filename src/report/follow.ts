import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import {
  compareRecords,
  formatRecordName,
  parseRecordName,
  type RecordName,
} from "../store/index.js";

/** Read at a time, in bytes; what is behind it is read the next time. */
const CHUNK_BYTES = 1 << 16;

/** So much of a console's end is looked at for its last lines. */
const TAIL_BYTES = 1 << 16;

/** What a console has to show since the last time. */
export interface Followed {
  /** A console that was begun since: its file's name. */
  readonly begun?: string;
  readonly bytes: Buffer;
}

/** The console whose boot began last: the highest id. */
function newestConsole(directory: string): RecordName | undefined {
  return readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) => {
      const name = parseRecordName(entry.name);
      return name?.type === "console" && entry.isFile() ? [name] : [];
    })
    .sort(compareRecords)
    .at(-1);
}

/**
 * Follows the newest console of a directory, and goes on to the next boot's when one begins. It only
 * reads files, so it needs no daemon, and doesn't care who calls it when.
 */
export class ConsoleFollower {
  readonly #directory: string;
  readonly #lines: number;
  #file: { readonly id: bigint; readonly fd: number; position: number } | undefined;
  /** The first console that is found was there before: only its last lines are shown. */
  #first = true;

  constructor(directory: string, lines: number) {
    this.#directory = directory;
    this.#lines = lines;
  }

  /** What came since the last call: a piece, or undefined where nothing did. Call until it is that. */
  next(): Followed | undefined {
    if (this.#file !== undefined) {
      const bytes = this.#read(this.#file);
      if (bytes.length > 0) return { bytes };
    }
    const newest = newestConsole(this.#directory);
    if (newest === undefined || newest.id <= (this.#file?.id ?? 0n)) {
      this.#first = false;
      return undefined;
    }
    this.close();
    const name = formatRecordName(newest);
    const fd = openSync(join(this.#directory, name), "r");
    const position = this.#first ? this.#tail(fd) : 0;
    this.#first = false;
    this.#file = { id: newest.id, fd, position };
    return { begun: name, bytes: Buffer.alloc(0) };
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  #read(file: { readonly fd: number; position: number }): Buffer {
    const { size } = fstatSync(file.fd);
    // A line that didn't fit on the disk was taken back.
    if (size < file.position) file.position = size;
    const bytes = Buffer.alloc(Math.min(CHUNK_BYTES, size - file.position));
    const count = readSync(file.fd, bytes, 0, bytes.length, file.position);
    file.position += count;
    return bytes.subarray(0, count);
  }

  /** Where the last lines begin. */
  #tail(fd: number): number {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - from);
    const text = bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, from));
    if (this.#lines === 0) return from + text.length;
    // The line break at the very end ends the last line, and begins none.
    let at = text.endsWith("\n") ? text.length - 1 : text.length;
    for (let i = 0; i < this.#lines && at > 0; i++) at = text.lastIndexOf("\n", at - 1);
    return from + Math.max(0, at + 1);
  }
}
