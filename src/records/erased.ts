import { join } from "node:path";
import { readLines } from "./read-lines.js";

/** The records that the guest erased and the host keeps, `dmesg-1` and so on, one a line. */
export const ERASED_NAME = ".erased";

/** More than there can be lines of records that are kept; of a longer file the end is read. */
export const MAX_ERASED_BYTES = 64 << 20;

/** What `.erased` of a directory says: the records' keys. Throws the system call's error. */
export const readErased = (directory: string): Set<string> =>
  new Set(readLines(join(directory, ERASED_NAME), MAX_ERASED_BYTES));
