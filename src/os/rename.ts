import { lstatSync, renameSync } from "node:fs";
import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;

/** rename(2) that fails with EEXIST instead of replacing a file. */
export function renameNew(from: string, to: string): void {
  if (libc.renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) === 0) return;
  const number = lastErrno();
  // A file system without the flag (NFS, say): the best that can be done there.
  if (number !== errno.EINVAL) throw new SystemError("renameat2", number, to);
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) {
    throw new SystemError("rename", errno.EEXIST, to);
  }
  renameSync(from, to);
}
