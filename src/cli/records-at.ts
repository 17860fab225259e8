import { statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { findRecords, isErstFile } from "../analysis/index.js";
import type { RecordEntry } from "../records/index.js";
import { errorLine, UserError, warn } from "../service/errors.js";
import { type CrashFilter, isGuest } from "./crash-filter.js";
import { erstError } from "./erst/open.js";

/** The records that a command was asked for. */
export interface RecordsAt {
  readonly files: readonly RecordEntry[];
  /** The one record whose file was named. */
  readonly only: RecordEntry | undefined;
  /** Why something at the path can't be read, and is left out. */
  readonly skipped: readonly unknown[];
}

/** The records at a path; a file that is no record is an error, a directory without any isn't. */
export function recordsAt(path: string): RecordsAt {
  const skipped: unknown[] = [];
  const files = filesAt(path, skipped);
  if (statSync(path).isDirectory() || isErstFile(path)) return { files, only: undefined, skipped };
  const [only] = files;
  if (only === undefined) {
    throw new UserError(
      `${path} is neither a record nor an ERST file: a record's file is called dmesg-ID, ftrace-ID, console-ID or pmsg-ID, or with a back-end's name as dmesg-efi_pstore-ID, with .enc.z or .gz behind it where it is compressed; text is called dmesg.txt, or begins as pstore's, with Panic#1 Part1`,
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

/** The records of the guest that is asked for; `tell` gets a line for what of it can't be read. */
export function recordsAsked(
  path: string,
  filter: CrashFilter,
  tell: (line: string) => void,
): RecordEntry[] {
  const { files, skipped } = recordsAt(path);
  const lines = skipped.map(errorLine).filter((line) => isOfGuest(line, path, filter.guest));
  for (const line of lines.slice(0, MOST_TOLD)) tell(`skipped ${line}`);
  const more = lines.length - MOST_TOLD;
  if (more > 0) tell(`skipped ${more} more that can't be read`);
  const records = files.filter((record) => isGuest(record, filter));
  if (records.length === 0) tellNoGuest(path, filter);
  return records;
}

/** Whether a line about what is skipped, which begins with its path, is of the guest that is asked for. */
function isOfGuest(line: string, path: string, guest: string | undefined): boolean {
  if (guest === undefined || basename(resolve(path)) === guest || !isDirectory(path)) return true;
  const own = join(path, guest);
  return line.startsWith(`${own}:`) || line.startsWith(`${own}/`);
}

/** Says that a guest without records has no directory either: its name may be misspelt. */
export function tellNoGuest(path: string, { guest }: CrashFilter): void {
  if (guest === undefined || basename(resolve(path)) === guest) return;
  if (basename(path) === `${guest}.erst` || isDirectory(join(path, guest))) return;
  warn(`${path} holds no guest ${guest}`, "warn");
}

const isDirectory = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
