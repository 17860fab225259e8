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
