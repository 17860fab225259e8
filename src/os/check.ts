import { SystemError } from "./errno.js";
import { lastErrno } from "./libc.js";

/** Passes a system call's result on, or throws errno as a SystemError. */
export function check(result: number, syscall: string, detail = ""): number {
  if (result < 0) throw new SystemError(syscall, lastErrno(), detail);
  return result;
}
