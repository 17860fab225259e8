import { check, errno } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const drained = new Uint8Array(8);

/** A new non-blocking eventfd(2) whose counter is 0. */
export function createEventfd(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

/** struct pollfd: fd i32, events u16, revents u16. */
const POLLOUT = 4;
const pollRequest = Buffer.alloc(8);

/**
 * Adds 1 to an eventfd, or writes the same 8 bytes into a pipe: user-mode-linux passes pipes as call
 * descriptors. A full one or a gone reader isn't an error here: in both the notification is pointless.
 * The descriptor is shared with the front-end, which could have made it a blocking one: so it is asked
 * first whether it takes more.
 */
export function signal(fd: number): void {
  pollRequest.writeInt32LE(fd, 0);
  pollRequest.writeUInt32LE(POLLOUT, 4);
  if (libc.poll(pollRequest, 1, 0) > 0 && (pollRequest.readUInt16LE(6) & POLLOUT) !== 0) {
    libc.write(fd, one, 8);
  }
}

/** Resets a descriptor that polled readable; false where it is at its end and will never be again. */
export function drain(fd: number): boolean {
  const count = libc.read(fd, drained, 8);
  return count > 0 || (count < 0 && lastErrno() === errno.EAGAIN);
}
