import {
  closeSync,
  constants,
  type Dirent,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readSync,
  renameSync,
  type Stats,
  type StatsFs,
  statfsSync,
  unlinkSync,
  writevSync,
} from "node:fs";
import { dirname } from "node:path";
import { type Bytes, errno, errnoOf, ForeignBytes, renameNew, writeForeign } from "../os/index.js";

/** An open directory. */
export interface DirectoryEntries {
  /** The next entry, in no order; undefined where there is none. */
  read(): Dirent | undefined;
  close(): void;
}

/**
 * The system calls that a store makes on its files, each of which throws with its errno. Tests put
 * others in their place, which fail, record what was done, or stop the process.
 */
export interface Files {
  open(path: string, flags: number, mode?: number): number;
  close(fd: number): void;
  /** writev(2): how many bytes the kernel took. */
  write(fd: number, data: readonly Bytes[]): number;
  read(fd: number, into: Uint8Array, position: number): number;
  truncate(fd: number, bytes: number): void;
  fstat(fd: number): Stats;
  /** Undefined where there is nothing. */
  lstat(path: string): Stats | undefined;
  /** Of the file system. */
  statfs(path: string): StatsFs;
  openDirectory(path: string): DirectoryEntries;
  mkdir(path: string): void;
  /** Fails with EEXIST where there is a file of the new name. */
  renameNew(from: string, to: string): void;
  /** Replaces a file of the new name. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  sync(fd: number): void;
  datasync(fd: number): void;
}

/** A call for those at the beginning that are of one kind: whoever writes goes on behind what was taken. */
function writeBytes(fd: number, data: readonly Bytes[]): number {
  const isForeign = data[0] instanceof ForeignBytes;
  const end = data.findIndex((one) => one instanceof ForeignBytes !== isForeign);
  const same = end < 0 ? data : data.slice(0, end);
  return isForeign
    ? writeForeign(fd, same as ForeignBytes[])
    : writevSync(fd, same as Uint8Array[]);
}

/** Read from the kernel at once, which takes less than a tenth of a millisecond. */
const ENTRIES_AT_ONCE = 64;

const missing = { throwIfNoEntry: false } as const;

/** The system's own. */
export const systemFiles: Files = {
  open: openSync,
  close: closeSync,
  write: writeBytes,
  read: (fd, into, position) => readSync(fd, into, 0, into.length, position),
  truncate: ftruncateSync,
  fstat: (fd) => fstatSync(fd),
  lstat: (path) => lstatSync(path, missing),
  statfs: (path) => statfsSync(path),
  openDirectory: (path) => {
    const directory = opendirSync(path, { bufferSize: ENTRIES_AT_ONCE });
    return {
      read: () => directory.readSync() ?? undefined,
      close: () => {
        directory.closeSync();
      },
    };
  },
  mkdir: (path) => mkdirSync(path, 0o700),
  renameNew,
  rename: renameSync,
  unlink: unlinkSync,
  sync: fsyncSync,
  datasync: fdatasyncSync,
};

/**
 * As `mkdir -p`, for the owner alone, and durable: a record's directory must not be lost in a crash that
 * the record outlives. Node's own recursive mkdir never ends in some places (/proc).
 */
export function makeDirectory(files: Files, path: string): void {
  const parent = dirname(path);
  const make = () => {
    try {
      files.mkdir(path);
    } catch (error) {
      if (errnoOf(error) === errno.EEXIST) return;
      throw error;
    }
    syncDirectory(files, parent);
  };
  try {
    make();
  } catch (error) {
    if (errnoOf(error) !== errno.ENOENT || parent === path) throw error;
    makeDirectory(files, parent);
    make();
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(files: Files, path: string): void {
  const fd = files.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    files.sync(fd);
  } finally {
    files.close(fd);
  }
}

export function tryUnlink(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch {
    // Gone already, or left for the next start to clear away.
  }
}

/** Bytes in all. */
export function lengthOf(data: readonly Bytes[]): number {
  return data.reduce((sum, view) => sum + view.length, 0);
}

/** Whether an error is a system call's, and not a mistake of ours. */
export function isSystemError(error: unknown): boolean {
  return error instanceof Error && "errno" in error;
}
