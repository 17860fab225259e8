import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { findRecords, isErstFile } from "../analysis/index.js";
import { isStream, type RecordEntry, type RecordTypeName } from "../records/index.js";
import { UserError, warn } from "../service/errors.js";
import { type CrashFilter, isFiltered } from "./crash-filter.js";

/** What isn't recorded of every guest, and how it is. */
const HOW_RECORDED: Readonly<Record<Exclude<RecordTypeName, "dmesg">, string>> = {
  console: "of a guest with the driver, `run` and `serve` take it with --console",
  pmsg: "what a guest with the driver writes to its /dev/pmsg0, `run` and `serve` take with --types dmesg,ftrace,pmsg",
  ftrace:
    "a guest's driver sends its trace with the parameter virtio_pstore.trace=1, on Linux 6.3 or later",
};

/** What to do about a type of which nothing is there, to follow a colon; of dmesg nothing. */
export const howRecorded = (type: RecordTypeName): string =>
  type === "dmesg" ? "" : `: ${HOW_RECORDED[type]}`;

/**
 * Where no crash is found, says what is there instead: a table without lines would hide it. Returns whether it
 * did; throws UserError where it isn't looked at, and has to be named.
 */
export function tellOthers(
  path: string,
  records: readonly RecordEntry[],
  filter: CrashFilter,
): boolean {
  if (records.length === 0) {
    const others = filter.guest === undefined ? othersBelow(path) : undefined;
    if (others !== undefined) throw new UserError(others);
    return false;
  }
  if (isFiltered(filter)) return false;
  warn(`${path} holds no crash, but other records: \`virtio-pstore list --records\` lists them`);
  return true;
}

/** The error of a command that finds none of a type. Streams aren't shown with dumps: one can be very long. */
export function nothingFound(
  path: string,
  records: readonly RecordEntry[],
  filter: CrashFilter,
  type: RecordTypeName,
): UserError {
  const holds = `${path} holds no ${type === "dmesg" ? "crash" : `${type} record`}`;
  const others = records.length === 0 ? othersBelow(path) : undefined;
  if (others !== undefined && filter.guest === undefined) return new UserError(others);
  const fits = isFiltered(filter) ? " that fits" : "";
  if (type !== "dmesg") return new UserError(`${holds}${fits}${howRecorded(type)}`);
  const stream = records.findLast((record) => isStream(record.type));
  if (fits !== "" || stream === undefined) return new UserError(`${holds}${fits}`);
  const what = stream.type === "console" ? "console output" : "what user space wrote";
  return new UserError(`${holds}, but ${what}: \`virtio-pstore show ${stream.path}\` shows it`);
}

/** A directory may hold what is a path of its own: guests' ERST files, or directories of directories of records. */
function othersBelow(path: string): string | undefined {
  if (!statSync(path).isDirectory()) return undefined;
  const entries = readdirSync(path, { withFileTypes: true });
  const file = entries.find(({ name }) => name.endsWith(".erst") && isErstFile(join(path, name)));
  if (file !== undefined) return `${path} holds ${file.name}, an ERST file: name that`;
  const folder = entries.find((entry) => entry.isDirectory() && hasRecords(join(path, entry.name)));
  if (folder === undefined) return undefined;
  return `${join(path, folder.name)} holds directories of records: name that`;
}

function hasRecords(path: string): boolean {
  try {
    return findRecords(path).length > 0;
  } catch {
    // It was told as skipped.
    return false;
  }
}
