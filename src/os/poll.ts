import { libc } from "./libc.js";

/** poll(2)'s events. */
export const POLLIN = 1;
export const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 16;

/** struct pollfd: fd i32, events u16, revents u16. */
const request = Buffer.alloc(8);

/** poll(2) without waiting: revents, 0 where nothing is the matter. */
export function poll(fd: number, events: number): number {
  request.writeInt32LE(fd, 0);
  request.writeUInt32LE(events, 4);
  return libc.poll(request, 1, 0) > 0 ? request.readUInt16LE(6) : 0;
}

/** Whether somebody can still read what is written to a pipe or a socket. */
export const hasReader = (fd: number): boolean => (poll(fd, 0) & (POLLERR | POLLHUP)) === 0;

/**
 * Resolves when `fd` is readable, at the latest after `timeoutMs` (-1: without end). A thread of Node's pool waits
 * meanwhile; `fd` must stay open.
 */
export function whenReadable(fd: number, timeoutMs: number): Promise<void> {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeUInt32LE(POLLIN, 4);
  return new Promise((resolve, reject) => {
    libc.pollAsync(request, 1, timeoutMs, (error: Error | null) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}
