import { constants } from "node:os";
import { getSystemErrorMap, getSystemErrorName } from "node:util";

/** Linux's errno numbers, by name (`errno.ENOSPC` is 28). */
export const { errno } = constants;

/** A system call that failed. `code` is errno's name, as in Node's own errors. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, number: number, detail = "") {
    const code = number > 0 ? getSystemErrorName(-number) : "EUNKNOWN";
    super(`${syscall}${detail === "" ? "" : ` ${detail}`}: ${code}`);
    this.name = "SystemError";
    this.syscall = syscall;
    this.code = code;
    this.errno = number;
  }
}

/** The errno of a failed call of Node's fs or of ours; EIO where the error names none. */
export function errnoOf(error: unknown): number {
  if (error instanceof Error && "errno" in error && typeof error.errno === "number") {
    return Math.abs(error.errno);
  }
  return errno.EIO;
}

/** Errno's text, as in `no such file or directory`; undefined where an error is no system call's. */
export function systemReason(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("errno" in error) || typeof error.errno !== "number") {
    return undefined;
  }
  // Node's own errors count below zero, ours as Linux does.
  return getSystemErrorMap().get(-Math.abs(error.errno))?.[1];
}
