import { constants } from "node:fs";
import { join } from "node:path";
import { errno, SystemError } from "../os/index.js";
import { MAX_ID } from "../records/record-name.js";
import { type Files, isSystemError, tryUnlink } from "./files.js";
import { GrowingFile } from "./growing-file.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;

const PREFIX = ".next-";
const PATTERN = /^\.next-([1-9][0-9]{0,19})$/;

/** An empty file that is ready for the record with this id. */
export interface PreparedFile {
  readonly id: bigint;
  readonly file: GrowingFile;
  readonly inode: number;
  readonly path: string;
}

/**
 * `.next-N`: the file that the next record will be written into, and N the id that it will get. It is
 * made when the record before it is stored and its name becomes durable with that record's, so an id is
 * never given twice, even where the newest record was removed; and the record after needs no new file
 * at the time of the crash.
 */
export class NextFile {
  readonly #files: Files;
  readonly #directory: string;
  #id = 1n;
  #prepared: PreparedFile | undefined;

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** The id that the next record will get. */
  get id(): bigint {
    return this.#id;
  }

  /** What a former process left: the highest N counts. Others are writes that never ended. */
  recover(names: readonly string[]): void {
    const left = names.filter((name) => PATTERN.test(name));
    for (const name of left) {
      const id = BigInt(name.slice(PREFIX.length));
      if (id > this.#id && id <= MAX_ID) this.#id = id;
    }
    for (const name of left) {
      if (name !== `${PREFIX}${this.#id}`) tryUnlink(this.#files, join(this.#directory, name));
    }
  }

  /** The prepared file, or one that is made now. Throws the system call's error. */
  get(): PreparedFile {
    this.#prepared ??= this.#prepare();
    return this.#prepared;
  }

  /** The file is in use, and its descriptor the caller's: prepares another, or the next get() does. */
  take(): void {
    this.#prepared = undefined;
    this.#id++;
    this.tryPrepare();
  }

  /** Something may be in the file that nobody wants: it is emptied before it is used. */
  spoil(): void {
    if (this.#prepared !== undefined) this.#files.close(this.#prepared.file.fd);
    this.#prepared = undefined;
  }

  /** Ids below `id` are taken. The prepared file goes when the one that remembers that is there. */
  skipTo(id: bigint): void {
    if (id <= this.#id) return;
    const former = this.#prepared;
    this.#prepared = undefined;
    this.#id = id;
    if (former === undefined) return;
    this.tryPrepare();
    this.#files.close(former.file.fd);
    if (this.#prepared !== undefined) tryUnlink(this.#files, former.path);
  }

  /** The descriptor, for the caller to close. */
  end(): number[] {
    const fds = this.#prepared === undefined ? [] : [this.#prepared.file.fd];
    this.#prepared = undefined;
    return fds;
  }

  /** Where it fails, whoever needs the file is told. */
  tryPrepare(): void {
    try {
      this.#prepared ??= this.#prepare();
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  #prepare(): PreparedFile {
    const id = this.#id;
    const path = join(this.#directory, `${PREFIX}${id}`);
    if (id > MAX_ID) throw new SystemError("open", errno.EOVERFLOW, path);
    const fd = this.#files.open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    let inode: number;
    try {
      const found = this.#files.fstat(fd);
      inode = found.ino;
      if (!found.isFile()) throw new SystemError("open", errno.EEXIST, path);
      if (found.size > 0) this.#files.truncate(fd, 0);
    } catch (error) {
      this.#files.close(fd);
      throw error;
    }
    return { id, file: new GrowingFile(this.#files, fd), inode, path };
  }
}
