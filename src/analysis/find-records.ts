import { statSync } from "node:fs";
import type { OnSkipped, RecordEntry } from "../records/index.js";
import { recordInDirectory } from "./directory.js";
import { isErstFile, recordsInErst } from "./erst.js";
import { recordsInDirectory } from "./folders.js";

/**
 * The records at `path`: a directory of records, a directory of guests' directories, one that systemd-pstore or
 * export made, an ERST file, or one record's file. By guest, oldest first. `onSkipped` is told of what can't be read:
 * subdirectories, and slots that are damaged. Throws ErstError for an ERST file that is none.
 */
export function findRecords(path: string, onSkipped: OnSkipped = () => undefined): RecordEntry[] {
  if (statSync(path).isDirectory()) return recordsInDirectory(path, onSkipped);
  return isErstFile(path) ? recordsInErst(path, onSkipped) : recordInDirectory(path, onSkipped);
}
