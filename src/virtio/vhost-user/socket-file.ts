import { chownSync, fstatSync, lstatSync, unlinkSync } from "node:fs";
import {
  boundPath,
  closeDescriptor,
  connectUnix,
  errno,
  errnoOf,
  listenUnix,
  openFolderOf,
  openPlace,
  SystemError,
} from "../../os/index.js";

// The folder may be somebody else's, who can put a link or another file there at any time. So nothing's mode or
// owner is changed by its path, and what is looked at and then removed is both in one folder that is held open.

/** Why a socket can't be served at a path. */
export class SocketInUseError extends Error {
  readonly code = "SOCKET_IN_USE";
}

/** Who may connect to a socket besides its owner. */
export interface SocketAccess {
  /** Permission bits: 0600 where not given. */
  readonly mode?: number;
  /** The id of the group that the socket's file gets. */
  readonly group?: number;
}

/** A socket's file, by which it is known again at its path. */
export interface SocketFile {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

/**
 * Listens at `path`, for its owner alone where nothing else is asked for. A socket's file that nobody
 * listens at any more is replaced; one that somebody does, and any other kind of file, is refused. Throws
 * SocketInUseError, or the system call's error.
 */
export function listenAt(path: string, { mode = 0o600, group }: SocketAccess = {}): number {
  removeStale(path);
  // bind(2) makes the file with all bits but these.
  const before = process.umask(0o777 & ~mode);
  try {
    return listenUnix(path, () => {
      if (group !== undefined) giveToGroup(path, group);
    });
  } finally {
    process.umask(before);
  }
}

/** Whether a socket listens at `path`, where front-ends still find it, and they are who may connect. */
export function isListeningAt(
  fd: number,
  path: string,
  { mode = 0o600, group }: SocketAccess,
): boolean {
  if (boundPath(fd) !== path) return false;
  const found = lstatSync(path, { throwIfNoEntry: false });
  return (
    found?.isSocket() === true &&
    (found.mode & 0o777) === mode &&
    (group === undefined || found.gid === group)
  );
}

/** The file that is at `path` now; undefined where there is none. */
export function socketFile(path: string): SocketFile | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : { path, device: found.dev, inode: found.ino };
}

/** Removes a socket's file, unless somebody else removed or replaced it. */
export function removeSocket({ path, device, inode }: SocketFile): void {
  // Otherwise its folder is gone, too.
  if (socketFile(path) === undefined) return;
  inFolderOf(path, (entry) => {
    const found = socketFile(entry);
    if (found?.inode === inode && found.device === device) unlinkSync(entry);
  });
}

/** Removes a socket's file at which nobody listens any more; nothing where that can't be done. */
export function removeUnused(path: string): void {
  try {
    inFolderOf(path, (entry) => {
      if (useOf(entry) === "unused") unlinkSync(entry);
    });
  } catch (error) {
    // Its folder is gone, most likely.
    if (!(error instanceof Error && "errno" in error)) throw error;
  }
}

function removeStale(path: string): void {
  inFolderOf(path, (entry) => {
    const use = useOf(entry);
    if (use === "not there") return;
    if (use === "no socket") {
      throw new SocketInUseError(`${path} exists and is no socket: name another path`);
    }
    if (use === "served") {
      throw new SocketInUseError(
        `${path} is served by another process: stop it or name another path`,
      );
    }
    unlinkSync(entry);
  });
}

/**
 * Gives the file of a socket that was just bound there to a group. Nobody can connect to that yet, so a socket at
 * which somebody listens is another one.
 */
function giveToGroup(path: string, group: number): void {
  inFolderOf(path, (entry) => {
    const use = useOf(entry, (file) => {
      chownSync(file, -1, group);
    });
    if (use === "unused") return;
    throw new SocketInUseError(
      `${path} was replaced by somebody else: name a path in a folder that others can't write to`,
    );
  });
}

/**
 * What a folder's entry is. Where it is a socket's file at which nobody listens, `act` gets a path of that very
 * file, whatever takes its place in the folder.
 */
function useOf(
  entry: string,
  act: (file: string) => void = () => undefined,
): "not there" | "no socket" | "served" | "unused" {
  let fd: number;
  try {
    fd = openPlace(entry, "itself");
  } catch (error) {
    if (errnoOf(error) === errno.ENOENT) return "not there";
    throw error;
  }
  try {
    if (!fstatSync(fd).isSocket()) return "no socket";
    const file = `/proc/self/fd/${fd}`;
    if (isServed(file)) return "served";
    act(file);
    return "unused";
  } finally {
    closeDescriptor(fd);
  }
}

function isServed(file: string): boolean {
  try {
    closeDescriptor(connectUnix(file));
    return true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.errno === errno.ECONNREFUSED) return false;
    // Too many wait there to be served.
    if (error.errno === errno.EAGAIN) return true;
    throw error;
  }
}

/** `act` gets the entry of openFolderOf(). */
function inFolderOf(path: string, act: (entry: string) => void): void {
  const { fd, entry } = openFolderOf(path);
  try {
    act(entry);
  } finally {
    closeDescriptor(fd);
  }
}
