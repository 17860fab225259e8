import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/**
 * The next part of a file, from `from` on, that isn't a hole: [start, end) in bytes; undefined where only a hole is
 * left. A file system that knows no holes (hugetlbfs among them) has one part, which is all up to `size`.
 */
export function nextData(
  fd: number,
  from: number,
  size: number,
): { readonly start: number; readonly end: number } | undefined {
  if (from >= size) return undefined;
  const start = libc.lseek(fd, from, SEEK_DATA);
  if (start < 0) {
    const number = lastErrno();
    if (number === errno.ENXIO) return undefined;
    if (number === errno.EINVAL || number === errno.ESPIPE) return { start: from, end: size };
    throw new SystemError("lseek", number);
  }
  const end = libc.lseek(fd, start, SEEK_HOLE);
  if (end < 0 && lastErrno() !== errno.ENXIO) throw new SystemError("lseek", lastErrno());
  // The file became shorter between the two calls.
  if (end < 0) return undefined;
  return start >= size ? undefined : { start, end: Math.min(end, size) };
}
