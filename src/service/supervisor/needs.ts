import { ftruncateSync } from "node:fs";
import {
  closeDescriptor,
  createMemfd,
  createPipe,
  errno,
  Mapping,
  NotedReceive,
  SystemError,
  socketPair,
  splice,
} from "../../os/index.js";

/** A system call that this process may not make at all fails with one of these. */
const FORBIDDEN: readonly number[] = [errno.EPERM, errno.EACCES, errno.ENOSYS];

/**
 * The system call that sessions need to outlive their daemon, and that this process may not make, as in a container
 * whose seccomp profile is narrow; undefined where there is none. Throws what fails for another reason.
 */
export function forbiddenCall(): SystemError | undefined {
  const descriptors: number[] = [];
  try {
    const note = createMemfd("virtio-pstore-try");
    descriptors.push(note);
    const [from, into] = createPipe();
    const [near, far] = socketPair();
    descriptors.push(from, into, near, far);
    splice(from, near);
    // recvmmsg(2), of a socket where nothing waits.
    ftruncateSync(note, 4096);
    const mapping = new Mapping(note, 0n, 4096n);
    try {
      const receive = new NotedReceive(mapping, 0n);
      receive.prepare(1024n, 1024);
      receive.receive(near);
    } finally {
      mapping.unmap();
    }
    return undefined;
  } catch (error) {
    if (error instanceof SystemError && FORBIDDEN.includes(error.errno)) return error;
    throw error;
  } finally {
    for (const fd of descriptors) closeDescriptor(fd);
  }
}
