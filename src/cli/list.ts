import type { Command } from "commander";
import { type DecodedRecord, decodeRecord, findRecords } from "../report/index.js";
import { isStream } from "../store/index.js";
import { formatSize } from "./size.js";

interface ListOptions {
  json: boolean;
}

/** So many of a boot id's digits tell boots apart well enough for people. */
const SHORT_BOOT = 8;

export function addList(program: Command): void {
  program
    .command("list")
    .summary("list the records in a directory")
    .description("Lists records, oldest first; of every guest where the directory holds guests'.")
    .argument("<path>", "a directory of records or of guests, or a record's file")
    .option("--json", "print a JSON array", false)
    .action((path: string, options: ListOptions) => {
      list(path, options);
    });
}

const bootOf = ({ boot, header }: DecodedRecord): string | undefined => boot ?? header?.boot;

function list(path: string, options: ListOptions): void {
  const rows = findRecords(path).map(decodeRecord);
  if (options.json) {
    const records = rows.map(({ text, id, time, ...row }) => ({
      ...row,
      id: Number(id),
      time: time.toISOString(),
      textBytes: text?.length ?? null,
    }));
    process.stdout.write(`${JSON.stringify(records, null, 2)}\n`);
    return;
  }
  const withBoots = rows.some((row) => bootOf(row) !== undefined);
  const table = [["RECORD", "TIME", "SIZE", "TEXT", ...(withBoots ? ["BOOT"] : []), "DUMP"]];
  for (const row of rows) {
    const { guest, path: file, time, size, text } = row;
    const name = file.slice(file.lastIndexOf("/") + 1);
    table.push([
      guest === "" ? name : `${guest}/${name}`,
      time.toISOString().replace("T", " ").slice(0, 19),
      formatSize(size),
      text === undefined ? "?" : formatSize(text.length),
      ...(withBoots ? [bootOf(row)?.slice(0, SHORT_BOOT) ?? "-"] : []),
      describe(row),
    ]);
  }
  const widths = (table[0] ?? []).map((_, i) =>
    Math.max(...table.map((row) => row[i]?.length ?? 0)),
  );
  for (const row of table) {
    const line = row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ");
    process.stdout.write(`${line.trimEnd()}\n`);
  }
}

function describe({ header, type }: DecodedRecord): string {
  if (header === undefined) return isStream(type) ? "-" : "unreadable";
  const last = header.last === true ? ", the last" : "";
  return `${header.reason}#${header.count} part ${header.part}${last}`;
}
