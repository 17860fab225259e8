import { getSystemErrorMap } from "node:util";
import { errno, errnoOf } from "../os/index.js";
import { DirectoryInUseError } from "./open-directory.js";

/** What to do about a directory of which a system call said this. */
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

/** Why a directory can't be used as a store; the message says what to do. */
export class StoreError extends Error {
  readonly code: "DIRECTORY_UNUSABLE" | "DIRECTORY_IN_USE";

  constructor(code: StoreError["code"], message: string) {
    super(message);
    this.name = "StoreError";
    this.code = code;
  }
}

/** Of what opening a directory threw. */
export function storeError(directory: string, error: unknown): StoreError {
  if (error instanceof DirectoryInUseError) {
    const message = `${directory} is used by another virtio-pstore process: end it, or name another directory`;
    return new StoreError("DIRECTORY_IN_USE", message);
  }
  const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const advice = ADVICE.get(errnoOf(error)) ?? "it must be a directory this user may write to";
  const message = `${directory} can't be used for records (${reason}): ${advice}`;
  return new StoreError("DIRECTORY_UNUSABLE", message);
}

/** An error, or an errno, of a store in use: `/var/crash/vm1: no space left on device: make room`. */
export function errorText(directory: string, error: unknown): string {
  const number = typeof error === "number" ? error : errnoOf(error);
  // Node has no text for EDQUOT.
  const reason =
    number === errno.EDQUOT
      ? "disk quota exceeded"
      : (getSystemErrorMap().get(-number)?.[1] ?? `error ${number}`);
  const advice = ADVICE.get(number);
  return advice === undefined ? `${directory}: ${reason}` : `${directory}: ${reason}: ${advice}`;
}
