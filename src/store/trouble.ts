import { getSystemErrorMap } from "node:util";
import { errno } from "../native/index.js";

const ADVICE: ReadonlyMap<number, string> = new Map([
  [errno.ENOSPC, "make room"],
  [errno.EDQUOT, "make room, or raise the quota"],
  [errno.EROFS, "mount it for writing"],
  [errno.EIO, "see to its disk"],
  [errno.ENOENT, "put it back, or make another"],
  [errno.EMFILE, "raise the limit of open files (ulimit -n)"],
  [errno.ENFILE, "raise the limit of open files (sysctl fs.file-max)"],
  [errno.EAGAIN, "end what else uses it"],
  [errno.ENOLCK, "its file system has no locks: use a local one"],
]);

/** What to do about a directory of which a system call said this, if anything is known. */
export const adviceOn = (number: number): string | undefined => ADVICE.get(number);

/** `/var/crash/vm1: no space left on device: make room`. */
export function troubleWith(directory: string, number: number): string {
  const reason = getSystemErrorMap().get(-number)?.[1] ?? `error ${number}`;
  const advice = adviceOn(number);
  return advice === undefined ? `${directory}: ${reason}` : `${directory}: ${reason}: ${advice}`;
}
