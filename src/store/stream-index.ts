import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
} from "node:fs";
import { join } from "node:path";
import { errno, errnoOf } from "../native/index.js";
import { append } from "./files.js";
import {
  formatRecordName,
  isStream,
  parseRecordName,
  type RecordName,
  type StreamTypeName,
} from "./record-name.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC } = constants;

const INDEX_NAME = ".streams";
/** Lines of many times as many streams as there can be; of a longer file the end is read. */
const MAX_INDEX_BYTES = 4 << 20;
const LINE = /^([0-9a-f]{32}) (.+)$/;

/** A stream's file, and the boot of the guest that it belongs to. */
export interface BootStream {
  /** 32 hexadecimal digits. */
  readonly boot: string;
  readonly name: RecordName;
}

/**
 * `.streams` of a directory: one line for each stream that a boot id came with, oldest first. Empty
 * where there is none. A line cut off by a crash is left out.
 */
export function readStreamIndex(directory: string): BootStream[] {
  let text: string;
  try {
    const fd = openSync(join(directory, INDEX_NAME), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) return [];
      const bytes = Buffer.alloc(Math.min(found.size, MAX_INDEX_BYTES));
      text = bytes.toString(
        "latin1",
        0,
        readSync(fd, bytes, 0, bytes.length, found.size - bytes.length),
      );
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return [];
    throw error;
  }
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .flatMap((line) => {
      const [, boot, file] = LINE.exec(line) ?? [];
      const name = parseRecordName(file ?? "");
      return boot === undefined || name === undefined || !isStream(name.type)
        ? []
        : [{ boot, name }];
    });
}

/** Which stream belongs to which boot, across restarts of this process. */
export class StreamIndex {
  readonly #path: string;
  readonly #streams = new Map<string, RecordName>();
  #fd: number | undefined;
  #dirty = false;

  /** Forgets streams whose files are gone, so that the index doesn't grow with every boot there was. */
  constructor(directory: string) {
    this.#path = join(directory, INDEX_NAME);
    const all = readStreamIndex(directory);
    const there = all.filter(
      ({ name }) =>
        lstatSync(join(directory, formatRecordName(name)), { throwIfNoEntry: false }) !== undefined,
    );
    for (const { boot, name } of there) this.#streams.set(indexKey(boot, name.type), name);
    // Also where it holds nothing but a line that a crash cut off: the next one must not follow on it.
    const size = lstatSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > 0) this.#rewrite(there);
  }

  get(boot: string, type: StreamTypeName): RecordName | undefined {
    return this.#streams.get(indexKey(boot, type));
  }

  /** Remembers a new stream. Throws the system call's error; then it isn't remembered. */
  add(boot: string, name: RecordName): void {
    this.#fd ??= openSync(this.#path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    append(this.#fd, [Buffer.from(line({ boot, name }))]);
    this.#streams.set(indexKey(boot, name.type), name);
    this.#dirty = true;
  }

  /** The file where it has to be synced; from now on it counts as such. */
  takeDirty(): number[] {
    const fds = this.#dirty && this.#fd !== undefined ? [this.#fd] : [];
    this.#dirty = false;
    return fds;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #rewrite(streams: readonly BootStream[]): void {
    const temporary = `${this.#path}.new`;
    const fd = openSync(temporary, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      append(fd, [Buffer.from(streams.map(line).join(""))]);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.#path);
  }
}

const indexKey = (boot: string, type: string): string => `${boot} ${type}`;

const line = ({ boot, name }: BootStream): string => `${boot} ${formatRecordName(name)}\n`;
