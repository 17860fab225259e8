import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { errno, errnoOf } from "../os/errno.js";
import {
  compareRecords,
  formatRecordName,
  missingNote,
  parseRecordName,
  type RecordName,
  readStreamIndex,
} from "../records/index.js";
import { ownLine } from "../records/note.js";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

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

/** A console's file, and where it stands in its stream. */
interface Console {
  readonly name: RecordName;
  /** The id of the stream's first file. */
  readonly first: bigint;
  /** Bytes of the stream that came before it. */
  readonly offset: number;
}

/** Where to begin. */
interface Start extends Console {
  readonly position: number;
}

/** Oldest first; not those that their owner compressed, to which nothing is added. */
function consolesIn(directory: string): RecordName[] {
  return readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) => {
      const name = parseRecordName(entry.name);
      const isPlain = name?.compressed === false && name.gzip !== true;
      return name?.type === "console" && isPlain && entry.isFile() ? [name] : [];
    })
    .sort(compareRecords);
}

function consoleOf(directory: string, name: RecordName): Console {
  const found = readStreamIndex(directory).find((piece) => piece.name.id === name.id);
  return { name, first: found?.first.id ?? name.id, offset: found?.offset ?? 0 };
}

function opened(path: string): number | undefined {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return undefined;
    throw error;
  }
}

/**
 * Follows the newest console of a directory, and goes on to its next file, and to the next boot's when
 * one begins. It only reads files, so it needs no daemon, and doesn't care who calls it when.
 */
export class ConsoleFollower {
  readonly #directory: string;
  readonly #lines: number;
  #file: (Console & { readonly fd: number; position: number }) | undefined;
  /** The first console that is found was there before: only its last lines are shown. */
  #first = true;
  /** What was shown last ends with a line. */
  #newline = true;

  constructor(directory: string, lines: number) {
    this.#directory = directory;
    this.#lines = lines;
  }

  /** What came since the last call: a piece, or undefined where nothing did. Call until it is that. */
  next(): Followed | undefined {
    const file = this.#file;
    if (file !== undefined) {
      const bytes = this.#read(file);
      if (bytes.length > 0) return { bytes };
    }
    const consoles = consolesIn(this.#directory);
    const start = this.#first ? this.#start(consoles) : undefined;
    const next = file === undefined ? consoles.at(-1) : consoles.find((one) => this.#isNext(one));
    const name = start?.name ?? next;
    if (name === undefined) {
      this.#first = false;
      return undefined;
    }
    if (file !== undefined) {
      // What came before there was another.
      const bytes = this.#read(file);
      if (bytes.length > 0) return { bytes };
    }
    const found = start ?? consoleOf(this.#directory, name);
    const path = join(this.#directory, formatRecordName(name));
    const fd = opened(path);
    // Removed since: the next call looks again.
    if (fd === undefined) return undefined;
    this.close();
    this.#file = { ...found, fd, position: start?.position ?? 0 };
    this.#first = false;
    if (file?.first !== found.first) {
      return { begun: formatRecordName(name), bytes: Buffer.alloc(0) };
    }
    const missing = found.offset - (file.offset + file.position);
    if (missing <= 0) return this.next();
    return { bytes: Buffer.from(ownLine(missingNote(missing), this.#newline)) };
  }

  /** What is empty has no line in .streams yet, which says whether it goes on with this one. */
  #isNext(name: RecordName): boolean {
    if (name.id <= (this.#file?.name.id ?? 0n)) return false;
    const path = join(this.#directory, formatRecordName(name));
    return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
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
    if (count > 0) this.#newline = bytes[count - 1] === 0x0a;
    return bytes.subarray(0, count);
  }

  /** Where the last lines begin: in the newest file, or in one before it that it goes on with. */
  #start(consoles: readonly RecordName[]): Start | undefined {
    let start: Start | undefined;
    let lines = this.#lines;
    for (const name of [...consoles].reverse()) {
      const found = consoleOf(this.#directory, name);
      if (start !== undefined && found.first !== start.first) break;
      const path = join(this.#directory, formatRecordName(name));
      const tail = tailOf(path, lines, start !== undefined);
      if (tail === undefined) continue;
      start = { ...found, position: tail.position };
      lines -= tail.lines;
      if (lines <= 0 || tail.position > 0) break;
    }
    return start;
  }
}

/**
 * Where at most so many last lines of a file begin, and how many there are; undefined for one that is gone. A
 * last line that goes on in the next file was counted there.
 */
function tailOf(
  path: string,
  most: number,
  goesOn: boolean,
): { readonly position: number; readonly lines: number } | undefined {
  const fd = opened(path);
  if (fd === undefined) return undefined;
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - from);
    const text = bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, from));
    // The line break at the very end ends the last line, and begins none.
    const isEnded = text.endsWith("\n");
    let at = isEnded ? text.length - 1 : text.length;
    let lines = goesOn && !isEnded ? -1 : 0;
    for (; lines < most && at >= 0; lines++) at = at === 0 ? -1 : text.lastIndexOf("\n", at - 1);
    return { position: most === 0 ? size : from + at + 1, lines };
  } finally {
    closeSync(fd);
  }
}
