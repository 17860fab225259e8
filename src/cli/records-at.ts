import { statSync } from "node:fs";
import { findRecords, isErstFile, type RecordEntry } from "../report/index.js";
import { errorLine, UserError, warn } from "./errors.js";
import { erstError } from "./erst/open.js";

/** The records that a command was asked for. */
export interface RecordsAt {
  readonly files: readonly RecordEntry[];
  /** The one record whose file was named. */
  readonly only: RecordEntry | undefined;
  /** Why something at the path can't be read, and is left out. */
  readonly skipped: readonly unknown[];
}

/** As `list --records` tells it. */
export const fullName = ({ guest, name }: RecordEntry): string =>
  guest === "" ? name : `${guest}/${name}`;

/** The records at a path; a file that is no record is an error, a directory without any isn't. */
export function recordsAt(path: string): RecordsAt {
  const skipped: unknown[] = [];
  const files = filesAt(path, skipped);
  if (statSync(path).isDirectory() || isErstFile(path)) return { files, only: undefined, skipped };
  const [only] = files;
  if (only === undefined) {
    throw new UserError(
      `${path} is neither a record nor an ERST file: a record's file is called dmesg-ID, ftrace-ID, console-ID or pmsg-ID, or with a back-end's name as dmesg-efi_pstore-ID, with .enc.z or .gz behind it where it is compressed`,
    );
  }
  return { files, only, skipped };
}

function filesAt(path: string, skipped: unknown[]): RecordEntry[] {
  try {
    return findRecords(path, (error) => skipped.push(error));
  } catch (error) {
    throw erstError(path, error);
  }
}

/** An ERST file can have 4,087 damaged slots, and a directory more guests. */
const MOST_TOLD = 5;

export function tellSkipped(skipped: readonly unknown[]): void {
  for (const error of skipped.slice(0, MOST_TOLD)) warn(`skipped ${errorLine(error)}`);
  const more = skipped.length - MOST_TOLD;
  if (more > 0) warn(`skipped ${more} more that can't be read`);
}
