import { statSync } from "node:fs";
import { findRecords, isErstFile, type RecordEntry } from "../report/index.js";
import { errorLine, UserError, warn } from "./errors.js";
import { erstError } from "./erst/open.js";

/** The records that a command was asked for. */
export interface RecordsAt {
  readonly files: readonly RecordEntry[];
  /** The one record whose file was named. */
  readonly only: RecordEntry | undefined;
}

/**
 * The records at a path; a file that is no record is an error, a directory without any isn't. Tells what
 * can't be read, unless `onSkipped` takes it.
 */
export function recordsAt(path: string, onSkipped = tellSkipped): RecordsAt {
  const files = filesAt(path, onSkipped);
  if (statSync(path).isDirectory() || isErstFile(path)) return { files, only: undefined };
  const [only] = files;
  if (only === undefined) {
    throw new UserError(
      `${path} is neither a record nor an ERST file: a record's file is called dmesg-ID, ftrace-ID, console-ID or pmsg-ID, or with a back-end's name as dmesg-efi_pstore-ID, with .enc.z or .gz behind it where it is compressed`,
    );
  }
  return { files, only };
}

function filesAt(path: string, onSkipped: (error: unknown) => void): RecordEntry[] {
  try {
    return findRecords(path, onSkipped);
  } catch (error) {
    throw erstError(path, error);
  }
}

function tellSkipped(error: unknown): void {
  warn(`skipped ${errorLine(error)}`);
}
