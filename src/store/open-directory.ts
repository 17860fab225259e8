import { constants, type Stats } from "node:fs";
import { join, resolve } from "node:path";
import { errno, errnoOf, SystemError, tryLock } from "../os/index.js";
import { ERASED_NAME } from "../records/erased.js";
import { ENDS_NAME } from "../records/guest-end.js";
import {
  formatRecordName,
  type RecordName,
  recordKey,
  type StreamTypeName,
} from "../records/record-name.js";
import { STREAMS_NAME } from "../records/stream-segment.js";
import { DirectoryReading } from "./directory-reading.js";
import { DumpHeaders } from "./dump-headers.js";
import { EndList } from "./end-list.js";
import { ErasedList } from "./erased-list.js";
import { type Files, isSystemError, makeDirectory } from "./files.js";
import type { GrowingFile } from "./growing-file.js";
import type { LineFileHost } from "./line-file.js";
import { NextFile } from "./next-file.js";
import { RecordTable } from "./record-table.js";
import { StreamIndex } from "./stream-index.js";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** Notes on so many records that are gone are worth making their file anew. */
const MAX_STALE = 1000;

/**
 * What changes a directory changes its time, but some file systems tell that no finer than in steps of 2 s. What was
 * read so soon behind a change may have changed again.
 */
const SETTLED_MS = 2500;

const NO_ROOM: readonly number[] = [errno.ENOSPC, errno.EDQUOT];

/** A stream's file that was just made. */
export interface NewStreamFile {
  readonly name: RecordName;
  readonly file: GrowingFile;
  readonly inode: number;
}

/** Another process has the directory. */
export class DirectoryInUseError extends SystemError {
  constructor(directory: string) {
    super("flock", errno.EAGAIN, directory);
    this.name = "DirectoryInUseError";
  }
}

/**
 * A directory of records that this process has locked, and what is known of it.
 *
 * `dmesg-1.enc.z`, `console-2`: a record (see record-name.ts). `.next-3`: see next-file.ts. `.erased`:
 * see erased-list.ts. `.streams`: see stream-piece.ts. `.ends`: see end-list.ts.
 */
export class OpenDirectory {
  readonly path: string;
  readonly fd: number;
  readonly table = new RecordTable((key) => this.erased.has(key));
  readonly headers: DumpHeaders;
  readonly next: NextFile;
  readonly erased: ErasedList;
  readonly index: StreamIndex;
  readonly ends: EndList;
  /** Names were made or removed that aren't synced. */
  namesChanged = false;
  readonly #files: Files;
  readonly #found: Stats;
  #reading:
    | { readonly reading: DirectoryReading; readonly changedMs: number | undefined }
    | undefined;
  /** Readings that have ended. */
  #read = 0;
  /** When the directory was changed last before the last one; undefined where that isn't certain. */
  #changedMs: number | undefined;

  /**
   * Opens or makes the directory; a link in its place is refused with ENOTDIR. Ids begin at `firstId`, or behind those
   * that the directory knows of. Throws DirectoryInUseError, or the system call's error.
   */
  constructor(host: LineFileHost, path: string, firstId: bigint) {
    const { files } = host;
    this.#files = files;
    this.path = path;
    makeDirectory(files, resolve(path));
    this.fd = files.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const opened: { end(): number[] }[] = [{ end: () => [this.fd] }];
    const keep = <T extends { end(): number[] }>(part: T): T => {
      opened.push(part);
      return part;
    };
    try {
      if (!tryLock(this.fd)) throw new DirectoryInUseError(path);
      this.#found = files.fstat(this.fd);
      this.headers = new DumpHeaders(files, path);
      this.table.watch((name) => {
        if (!this.table.has(recordKey(name))) this.headers.forget(name);
      });
      this.next = keep(new NextFile(files, path));
      this.erased = keep(new ErasedList(host, join(path, ERASED_NAME)));
      this.next.skipTo(firstId);
      this.next.skipTo(this.erased.highestId + 1n);
      this.next.recover(this.readAnew());
      const isThere = (name: RecordName) => this.table.has(recordKey(name));
      this.index = keep(new StreamIndex(host, join(path, STREAMS_NAME), isThere));
      this.ends = keep(new EndList(host, join(path, ENDS_NAME)));
      this.#prepareNext();
      files.sync(this.fd);
      this.namesChanged = false;
    } catch (error) {
      for (const part of opened) for (const fd of part.end()) files.close(fd);
      throw error;
    }
  }

  /** On a full disk the guest is told when it writes: streams that are there may still grow, and erasing goes on. */
  #prepareNext(): void {
    try {
      this.next.get();
    } catch (error) {
      if (!NO_ROOM.includes(errnoOf(error))) throw error;
    }
  }

  pathOf(record: RecordName): string {
    return join(this.path, formatRecordName(record));
  }

  /**
   * Whether the directory is still the one of its name; a link that leads to it isn't. Throws ENOENT where
   * there is none: it was moved away.
   */
  isInPlace(): boolean {
    const found = this.#files.lstat(this.path);
    if (found === undefined) {
      throw new SystemError("lstat", errno.ENOENT, `${this.path}: moved away, or removed`);
    }
    return found.ino === this.#found.ino && found.dev === this.#found.dev;
  }

  /** The number of the reading behind which the table has all that is there now, as read() takes it. */
  nextReading(): number {
    // One that is under way may be past what has changed since.
    return this.#read + (this.#reading === undefined ? 1 : 2);
  }

  /**
   * Has the table know the directory as it is, whose owner may add and remove files: goes on until that reading has
   * ended, unless nothing has changed since the last one. False where the turn is over before. Throws the system
   * call's error.
   */
  read(number: number, isTurnOver: () => boolean): boolean {
    while (this.#read < number) {
      if (this.#reading === undefined) {
        const { ctimeMs } = this.#files.fstat(this.fd);
        if (ctimeMs === this.#changedMs) return true;
        this.#begin(ctimeMs);
      }
      if (!this.#goOn(isTurnOver)) return false;
    }
    return true;
  }

  /** Reads it whatever is known of it. Returns the names of what is no record. */
  readAnew(): readonly string[] {
    this.#reading?.reading.abandon();
    const reading = this.#begin(this.#files.fstat(this.fd).ctimeMs);
    this.#goOn(() => false);
    return reading.others;
  }

  /** Drops notes on records that are gone, where there are many. That can wait: nothing depends on it. */
  prune(): void {
    const { table, erased, index } = this;
    const most = table.size + MAX_STALE;
    const isThere = (key: string) => table.has(key);
    try {
      if (erased.size > most) erased.prune(isThere);
      if (index.size > most) index.prune((name) => table.has(recordKey(name)));
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** Descriptors of notes that have to be synced; from now on they count as such. */
  takeDirty(): number[] {
    return [...this.erased.takeDirty(), ...this.ends.takeDirty()];
  }

  /** The prepared file is in use. */
  takeNext(): void {
    this.next.take();
    this.namesChanged = true;
  }

  /** The guest erased a record that is kept. Throws the system call's error. */
  setErased(key: string): void {
    this.erased.add(key);
    this.table.setErased(key);
  }

  /** Makes an empty file for a stream; `naming` is called before it has its name. Throws the system call's error. */
  beginStream(type: StreamTypeName, naming: (id: bigint, inode: number) => void): NewStreamFile {
    const begin = () => {
      const { id, file, path, inode } = this.next.get();
      const name: RecordName = { type, id, compressed: false };
      naming(id, inode);
      this.#files.renameNew(path, this.pathOf(name));
      this.takeNext();
      this.table.set({ name, size: 0, timeMs: Date.now() });
      this.prune();
      return { name, file, inode };
    };
    try {
      return begin();
    } catch (error) {
      if (errnoOf(error) !== errno.EEXIST) throw error;
      // Somebody put a file of the same name into the directory since the id was chosen.
      this.readAnew();
      return begin();
    }
  }

  #begin(ctimeMs: number): DirectoryReading {
    const isSettled = Date.now() - ctimeMs > SETTLED_MS;
    const reading = new DirectoryReading(this.#files, this.path, this.table);
    this.#changedMs = undefined;
    this.#reading = { reading, changedMs: isSettled ? ctimeMs : undefined };
    return reading;
  }

  #goOn(isTurnOver: () => boolean): boolean {
    if (this.#reading === undefined) return true;
    const { reading, changedMs } = this.#reading;
    let isEnd = true;
    try {
      isEnd = reading.goOn(isTurnOver);
      if (!isEnd) return false;
    } finally {
      if (isEnd) this.#reading = undefined;
    }
    this.#read++;
    this.#changedMs = changedMs;
    // A record put there by hand may have the id that was to come next: then a file is prepared for another.
    const { id } = this.next;
    this.next.skipTo(reading.newest + 1n);
    if (this.next.id !== id) this.namesChanged = true;
    return true;
  }

  /** Its descriptors, for the caller to close. */
  end(): number[] {
    this.#reading?.reading.abandon();
    const { next, erased, index, ends } = this;
    return [...[next, erased, index, ends].flatMap((part) => part.end()), this.fd];
  }
}
