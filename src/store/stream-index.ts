import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { errno, errnoOf } from "../native/index.js";
import { LineFile, type LineFileHost } from "./line-file.js";
import {
  formatRecordName,
  isStream,
  parseRecordName,
  type RecordName,
  type StreamTypeName,
} from "./record-name.js";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

export const STREAMS_NAME = ".streams";
/** Lines of many times as many streams as there can be; of a longer file the end is read. */
const MAX_INDEX_BYTES = 4 << 20;
const LINE = /^([0-9a-f]{32}|-) ([a-z]+-[0-9]+)(?: ([a-z]+-[0-9]+) ([0-9]{1,15}))?$/;

/** What `.streams` says of a stream's file. */
export interface StreamPiece {
  /** The guest's boot, 32 hexadecimal digits; undefined where its driver told none. */
  readonly boot: string | undefined;
  readonly name: RecordName;
  /** The stream's first file: this one, or one before it. */
  readonly first: RecordName;
  /** Bytes of the stream that come before this file. */
  readonly offset: number;
}

/** What stands in a stream, or between two of its files, where something is missing. */
export const missingNote = (bytes: number): string =>
  `[virtio-pstore: ${bytes} bytes are missing here]\n`;

function parseStream(text: string | undefined): RecordName | undefined {
  const name = parseRecordName(text ?? "");
  return name !== undefined && isStream(name.type) ? name : undefined;
}

function parseLine(line: string): StreamPiece[] {
  const [, boot, file, from, offset] = LINE.exec(line) ?? [];
  const name = parseStream(file);
  const first = from === undefined ? name : parseStream(from);
  if (boot === undefined || name === undefined || first?.type !== name.type) return [];
  return [{ boot: boot === "-" ? undefined : boot, name, first, offset: Number(offset ?? 0) }];
}

function formatLine({ boot = "-", name, first, offset }: StreamPiece): string {
  const start = `${boot} ${formatRecordName(name)}`;
  return first.id === name.id ? start : `${start} ${formatRecordName(first)} ${offset}`;
}

/**
 * `.streams` of a directory: one line for each file that belongs to a stream with a boot id, or goes on
 * with another file's, oldest first. Empty where there is none. A line cut off by a crash is left out.
 */
export function readStreamIndex(directory: string): StreamPiece[] {
  let text: string;
  try {
    const fd = openSync(join(directory, STREAMS_NAME), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) return [];
      const bytes = Buffer.alloc(Math.min(found.size, MAX_INDEX_BYTES));
      const from = found.size - bytes.length;
      text = bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, from));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return [];
    throw error;
  }
  return text.split("\n").slice(0, -1).flatMap(parseLine);
}

/** Which files belong to which stream and boot, across restarts of this process. */
export class StreamIndex {
  readonly #file: LineFile;
  /** By name, oldest first. */
  #pieces = new Map<string, StreamPiece>();
  /** The last piece of each boot and type. */
  readonly #last = new Map<string, StreamPiece>();

  /** Forgets files that aren't there any more. Throws the system call's error. */
  constructor(host: LineFileHost, path: string, isThere: (name: RecordName) => boolean) {
    this.#file = new LineFile(host, path);
    const lines = this.#file.load(MAX_INDEX_BYTES);
    for (const piece of lines.flatMap(parseLine)) this.#remember(piece);
    if (lines.length > 0) this.prune(isThere);
  }

  /** Lines in it. */
  get size(): number {
    return this.#pieces.size;
  }

  /** The file that a boot's stream goes on in. */
  last(boot: string, type: StreamTypeName): StreamPiece | undefined {
    return this.#last.get(bootKey(boot, type));
  }

  /** Undefined where the file is a stream of its own that no boot id came with. */
  get(name: Pick<RecordName, "type" | "id">): StreamPiece | undefined {
    return this.#pieces.get(nameKey(name));
  }

  /** Remembers a new file. Throws the system call's error; then it isn't remembered. */
  add(piece: StreamPiece): void {
    this.#file.add(formatLine(piece));
    this.#remember(piece);
  }

  /** Drops the lines of all files but these. Throws the system call's error. */
  prune(isThere: (name: RecordName) => boolean): void {
    const pieces = [...this.#pieces.values()].filter(({ name }) => isThere(name));
    if (pieces.length < this.#pieces.size) this.#file.replace(pieces.map(formatLine));
    this.#pieces.clear();
    this.#last.clear();
    for (const piece of pieces) this.#remember(piece);
  }

  takeDirty(): number[] {
    return this.#file.takeDirty();
  }

  /** The descriptors, for the caller to close. */
  end(): number[] {
    return this.#file.end();
  }

  #remember(piece: StreamPiece): void {
    this.#pieces.set(nameKey(piece.name), piece);
    if (piece.boot !== undefined) this.#last.set(bootKey(piece.boot, piece.name.type), piece);
  }
}

const bootKey = (boot: string, type: string): string => `${boot} ${type}`;
const nameKey = ({ type, id }: Pick<RecordName, "type" | "id">): string => `${type}-${id}`;
