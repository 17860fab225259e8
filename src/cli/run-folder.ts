import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  opendirSync,
  openSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errno, errnoOf, SystemError, tryLock } from "../os/index.js";

/** The folder of one run's socket. */
export interface RunFolder {
  /** Where the run is to listen. */
  readonly socketPath: string;
  /** Removes the folder and the socket. */
  remove(): void;
}

const PREFIX = "virtio-pstore-run-";

/** As mkdtemp(3) makes it. */
const NAME = /^virtio-pstore-run-[A-Za-z0-9]{6}$/;

const SOCKET = "socket";

/** Anybody may fill the temporary directory with names: no more of them are looked at. */
const MOST_NAMES = 10_000;

/**
 * Makes a folder for a socket, and removes those of runs that were killed. A run has its folder locked for as long
 * as it lives: the kernel drops the lock with the process, whatever its id is used for next.
 */
export function makeRunFolder(parent = tmpdir()): RunFolder {
  removeStale(parent);
  for (;;) {
    const path = mkdtempSync(join(parent, PREFIX));
    const fd = openFolder(path);
    if (fd === undefined) continue;
    const remove = () => {
      removeFolder(path, fd);
    };
    if (isOurs(path, fd) !== false) return { socketPath: join(path, SOCKET), remove };
    // Another run took it for a killed one's before it was locked.
    closeSync(fd);
  }
}

/** A folder that stays harms no run: what can't be read or removed isn't told. */
function removeStale(parent: string): void {
  for (const path of foldersIn(parent)) {
    try {
      const fd = openFolder(path);
      if (fd === undefined) continue;
      const isStale = fstatSync(fd).uid === process.geteuid?.() && isOurs(path, fd) === true;
      if (isStale) removeFolder(path, fd);
      else closeSync(fd);
    } catch {
      // Somebody else's.
    }
  }
}

/** The folders that have such a name, as others' may. */
function foldersIn(parent: string): string[] {
  const paths: string[] = [];
  try {
    const directory = opendirSync(parent);
    try {
      for (let count = 0; count < MOST_NAMES; count++) {
        const entry = directory.readSync();
        if (entry === null) break;
        if (entry.isDirectory() && NAME.test(entry.name)) paths.push(join(parent, entry.name));
      }
    } finally {
      directory.closeSync();
    }
  } catch {
    // A directory in which all may write needn't be one that all may read.
  }
  return paths;
}

/** undefined where it is gone. */
function openFolder(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return undefined;
    throw error;
  }
}

/** Locks it: false where another run has it, or has removed it; undefined where the file system has no locks. */
function isOurs(path: string, fd: number): boolean | undefined {
  try {
    if (!tryLock(fd)) return false;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  const { ino, dev } = fstatSync(fd);
  return found?.ino === ino && found.dev === dev;
}

/** What is in the folder that is open, whatever is at its path by now; what else than a socket is there stays. */
function removeFolder(path: string, fd: number): void {
  try {
    unlinkSync(`/proc/self/fd/${fd}/${SOCKET}`);
  } catch {
    // The run was killed before it listened.
  }
  try {
    rmdirSync(path);
  } catch {
    // Somebody put something there.
  }
  closeSync(fd);
}
