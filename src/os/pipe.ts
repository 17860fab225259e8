import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const SPLICE_F_NONBLOCK = 2;
const PIPE_BYTES = 65536;

/** A non-blocking pipe: the end to read from, and the one to write into. */
export function createPipe(): [from: number, into: number] {
  const pair = new Int32Array(2);
  check(libc.pipe2(pair, O_NONBLOCK | O_CLOEXEC), "pipe2");
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** The result of a call on a non-blocking descriptor; undefined where it would have to wait. */
function unlessWaiting(count: number, syscall: string): number | undefined {
  if (count >= 0) return count;
  const number = lastErrno();
  if (number === errno.EAGAIN || number === errno.EINTR) return undefined;
  throw new SystemError(syscall, number);
}

/**
 * Moves what is in a pipe into a socket, and returns how much that was: in one system call, so that no
 * byte is in both or in neither. Undefined where the pipe is empty or the socket full.
 */
export function splice(from: number, into: number): number | undefined {
  const count = libc.splice(from, null, into, null, PIPE_BYTES, SPLICE_F_NONBLOCK);
  return unlessWaiting(count, "splice");
}

/**
 * Reads into `bytes`, which may be shared memory, and returns how much; undefined where nothing waits.
 * Descriptors that come with a socket's message are dropped.
 */
export function readInto(fd: number, bytes: Uint8Array): number | undefined {
  return unlessWaiting(libc.read(fd, bytes, bytes.length), "read");
}
