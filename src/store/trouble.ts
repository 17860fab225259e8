import { getSystemErrorMap } from "node:util";
import { errno, errnoOf } from "../os/index.js";

const ADVICE: ReadonlyMap<number, string> = new Map([
  [errno.ENOSPC, "make room"],
  [errno.EDQUOT, "make room, or raise the quota"],
  [errno.EROFS, "mount it for writing"],
  [errno.EIO, "see to its disk"],
  [errno.EACCES, "let this user write there"],
  [errno.ENOENT, "put it back, or make another"],
  [errno.ENOTDIR, "put a directory there, no link and no file"],
  [errno.EMFILE, "raise the limit of open files (ulimit -n)"],
  [errno.ENFILE, "raise the limit of open files (sysctl fs.file-max)"],
  [errno.EAGAIN, "end what else uses it"],
  [errno.ENOLCK, "its file system has no locks: use a local one"],
]);

/** What to do about a directory of which a system call said this, if anything is known. */
export const adviceOn = (number: number): string | undefined => ADVICE.get(number);

/** Node has no text for EDQUOT. Of an error or an errno: `/var/crash/vm1: no space left on device: make room`. */
export function troubleWith(directory: string, trouble: unknown): string {
  const number = typeof trouble === "number" ? trouble : errnoOf(trouble);
  const reason =
    number === errno.EDQUOT
      ? "disk quota exceeded"
      : (getSystemErrorMap().get(-number)?.[1] ?? `error ${number}`);
  const advice = adviceOn(number);
  return advice === undefined ? `${directory}: ${reason}` : `${directory}: ${reason}: ${advice}`;
}
