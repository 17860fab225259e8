import { type DecodedRecord, decodeRecord } from "../analysis/index.js";
import { isDump, isText, printableJson, type RecordEntry } from "../records/index.js";
import { errorLine, warn } from "../service/errors.js";
import { fullName } from "../service/names.js";
import { formatSize } from "../service/size.js";
import { type CrashFilter, isWithin } from "./crash-filter.js";
import { tellOthers } from "./nothing-found.js";
import { Progress } from "./progress.js";
import { recordsAsked } from "./records-at.js";
import { writeOut } from "./stdout.js";
import { formatTable } from "./table.js";
import { formatTime } from "./time.js";

/** So many of a boot id's digits tell boots apart well enough for people. */
const SHORT_BOOT = 8;

/** `list --records`: each record, by guest, oldest first. */
export async function listRecords(
  path: string,
  options: CrashFilter & { readonly json: boolean },
): Promise<void> {
  // One at a time, and no text is kept: a guest decides how many there are, and how large.
  const progress = new Progress("records");
  const all = recordsAsked(path, options, tellPartial);
  if (all.length === 0) tellOthers(path, all, options);
  const rows = all
    .filter((record) => isWithin(record.time, options))
    .map((record) => {
      progress.step();
      return decode(record);
    });
  progress.end();
  if (options.json) {
    await writeOut(`${printableJson(rows.map(jsonRow), 2)}\n`);
    return;
  }
  const withBoots = rows.some((row) => bootOf(row) !== undefined);
  const boots = (cell: string) => (withBoots ? [cell] : []);
  const table = [
    ["RECORD", "WRITTEN (UTC)", "SIZE", "TEXT", "ERASED", ...boots("BOOT"), "DUMP"],
    ...rows.map((row) => [
      ...fileCells(row),
      ...boots(bootOf(row)?.slice(0, SHORT_BOOT) ?? "-"),
      dumpOf(row),
    ]),
  ];
  await writeOut(formatTable(table));
}

function tellPartial(line: string): void {
  process.exitCode = 1;
  warn(line);
}

/** A record that can't be read, or is erased at this moment, doesn't keep the others from being told. */
function decode(record: RecordEntry): DecodedRecord {
  try {
    return decodeRecord(record);
  } catch (error) {
    tellPartial(errorLine(error));
    return { ...record, header: undefined, headerBytes: 0, textBytes: undefined };
  }
}

function jsonRow({ headerBytes, id, time, textBytes, source, ...row }: DecodedRecord): unknown {
  return { ...row, id: `${id}`, time: time.toISOString(), textBytes: textBytes ?? null };
}

const bootOf = ({ boot, header }: DecodedRecord): string | undefined => boot ?? header?.boot;

function fileCells(record: DecodedRecord): string[] {
  const { time, size, textBytes, erased } = record;
  return [
    fullName(record),
    formatTime(time),
    formatSize(size),
    textBytes === undefined ? "?" : formatSize(textBytes),
    erased ? "yes" : "-",
  ];
}

function dumpOf(record: DecodedRecord): string {
  const { header, type } = record;
  if (header === undefined) return isDump(type) && !isText(record) ? "unreadable" : "-";
  const last = header.last === true ? ", the last" : "";
  return `${header.reason}#${header.count} part ${header.part}${last}`;
}
