import type { Command } from "commander";
import { type DecodedRecord, decodeRecord, type RecordEntry } from "../report/index.js";
import { isDump } from "../store/index.js";
import { errorLine, warn } from "./errors.js";
import { recordsAt } from "./records-at.js";
import { formatSize } from "./size.js";
import { writeOut } from "./stdout.js";

interface ListOptions {
  json: boolean;
}

/** So many of a boot id's digits tell boots apart well enough for people. */
const SHORT_BOOT = 8;

export function addList(program: Command): void {
  program
    .command("list")
    .summary("list the records in a directory")
    .description(
      "Lists records, oldest first; of every guest where the directory holds guests'. " +
        "ERASED says which ones the guest erased, and is no longer shown.",
    )
    .argument("<path>", "a directory of records or of guests, or a record's file")
    .option("--json", "print a JSON array", false)
    .action((path: string, options: ListOptions) => list(path, options));
}

async function list(path: string, options: ListOptions): Promise<void> {
  // One at a time, and no text is kept: a guest decides how many there are, and how large.
  const rows = recordsAt(path).files.map(decode);
  if (options.json) {
    await writeOut(`${JSON.stringify(rows.map(jsonRow), null, 2)}\n`);
    return;
  }
  const withBoots = rows.some((row) => bootOf(row) !== undefined);
  const boots = (cell: string) => (withBoots ? [cell] : []);
  const table = [
    ["RECORD", "TIME (UTC)", "SIZE", "TEXT", "ERASED", ...boots("BOOT"), "DUMP"],
    ...rows.map((row) => [
      ...fileCells(row),
      ...boots(bootOf(row)?.slice(0, SHORT_BOOT) ?? "-"),
      dumpOf(row),
    ]),
  ];
  const widths: number[] = [];
  for (const row of table) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const lines = table.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  await writeOut(`${lines.join("\n")}\n`);
}

/** A record that can't be read, or is erased at this moment, doesn't keep the others from being told. */
function decode(file: RecordEntry): DecodedRecord {
  try {
    return decodeRecord(file);
  } catch (error) {
    warn(errorLine(error));
    return { ...file, header: undefined, headerBytes: 0, textBytes: undefined };
  }
}

function jsonRow({ headerBytes, id, time, textBytes, source, ...row }: DecodedRecord): unknown {
  return { ...row, id: Number(id), time: time.toISOString(), textBytes: textBytes ?? null };
}

const bootOf = ({ boot, header }: DecodedRecord): string | undefined => boot ?? header?.boot;

function fileCells({ guest, name, time, size, textBytes, erased }: DecodedRecord): string[] {
  return [
    guest === "" ? name : `${guest}/${name}`,
    time.toISOString().replace("T", " ").slice(0, 19),
    formatSize(size),
    textBytes === undefined ? "?" : formatSize(textBytes),
    erased ? "yes" : "-",
  ];
}

function dumpOf({ header, type }: DecodedRecord): string {
  if (header === undefined) return isDump(type) ? "unreadable" : "-";
  const last = header.last === true ? ", the last" : "";
  return `${header.reason}#${header.count} part ${header.part}${last}`;
}
