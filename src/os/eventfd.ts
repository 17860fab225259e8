import { check } from "./check.js";
import { errno } from "./errno.js";
import { allocate, lastErrno, libc } from "./libc.js";
import { POLLIN, POLLOUT, poll } from "./poll.js";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const drained = new Uint8Array(8);

const RWF_NOWAIT = 8;
/** The address of a struct iovec (base u64, length u64), and behind it the 8 bytes that it points at. */
let vector: bigint | undefined;

function drainVector(): bigint {
  if (vector === undefined) {
    const { address, bytes } = allocate(24);
    new BigUint64Array(bytes.buffer, 0, 2).set([address + 16n, 8n]);
    vector = address;
  }
  return vector;
}

/** A new non-blocking eventfd(2) whose counter is 0. */
export function createEventfd(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

/**
 * Adds 1 to an eventfd, or writes the same 8 bytes into a pipe: user-mode-linux passes pipes as call
 * descriptors. A full one or a gone reader isn't an error here: in both the notification is pointless.
 * The descriptor is shared with the front-end, which could have made it a blocking one: so it is asked
 * first whether it takes more. An eventfd has no write that never waits (pwritev2(2) with RWF_NOWAIT).
 */
export function signal(fd: number): void {
  if ((poll(fd, POLLOUT) & POLLOUT) !== 0) libc.write(fd, one, 8);
}

/**
 * Resets a descriptor that polled readable; false where it is at its end and will never be again. Never
 * waits, though the front-end may have made it a blocking one, and another queue's may be the same.
 */
export function drain(fd: number): boolean {
  let count = libc.preadv2(fd, drainVector(), 1, -1, RWF_NOWAIT);
  if (count < 0 && lastErrno() === errno.EOPNOTSUPP) {
    // A FIFO with a name, or an old kernel's eventfd. The end of a pipe is POLLHUP alone.
    if (poll(fd, POLLIN) === 0) return true;
    count = libc.read(fd, drained, 8);
  }
  return count > 0 || (count < 0 && lastErrno() === errno.EAGAIN);
}
