import { constants, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const F_SETFL = 4;
const F_GETFL = 3;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const O_NONBLOCK = 0o4000;
/** Node has no name for it, and always adds O_CLOEXEC. */
const O_PATH = 0o10000000;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Closes a descriptor. An error is not told: nothing could be done about it. */
export function closeDescriptor(fd: number): void {
  libc.close(fd);
}

/**
 * A descriptor of a file's place, whatever kind of file it is (O_PATH): `/proc/self/fd/N` leads there, also when
 * the file's own path is gone. A link at the path is followed, or with `itself` opened.
 */
export function openPlace(path: string, what: "target" | "itself" = "target"): number {
  return openSync(path, what === "itself" ? O_PATH | constants.O_NOFOLLOW : O_PATH);
}

/**
 * The folder of `path`, held open, and a path of the same entry in it, wherever the folder's own path leads meanwhile.
 * That one also fits into a socket's address, which a longer path doesn't. `fd` is the caller's to close.
 */
export function openFolderOf(path: string): { readonly fd: number; readonly entry: string } {
  const fd = openPlace(dirname(path));
  return { fd, entry: `/proc/self/fd/${fd}/${basename(path)}` };
}

/** Makes a descriptor that came from elsewhere non-blocking and close-on-exec. */
export function setNonBlocking(fd: number): void {
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl", `on descriptor ${fd}`);
  check(libc.fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl", `on descriptor ${fd}`);
  check(libc.fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", `on descriptor ${fd}`);
}

/** Has a program that replaces this one keep the descriptor: Node makes all it is started with close-on-exec. */
export function keepOnExec(fd: number): void {
  check(libc.fcntl(fd, F_SETFD, 0), "fcntl", `on descriptor ${fd}`);
}

/**
 * Takes the exclusive advisory lock (flock(2)) of an open file or directory; false where another
 * process holds it. The kernel drops it with the descriptor, so a killed owner leaves none behind.
 * Throws where the file system has no locks.
 */
export function tryLock(fd: number): boolean {
  if (libc.flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (lastErrno() === errno.EAGAIN) return false;
  throw new SystemError("flock", lastErrno());
}
