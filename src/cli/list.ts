import type { Command } from "commander";
import { decodeRecord, findRecords } from "../report/index.js";
import { formatSize } from "./size.js";

interface ListOptions {
  json: boolean;
}

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
  const table = [["RECORD", "TIME", "SIZE", "TEXT", "DUMP"]];
  for (const { guest, path: file, time, size, text, header, type } of rows) {
    const name = file.slice(file.lastIndexOf("/") + 1);
    table.push([
      guest === "" ? name : `${guest}/${name}`,
      time.toISOString().replace("T", " ").slice(0, 19),
      formatSize(size),
      text === undefined ? "?" : formatSize(text.length),
      header === undefined
        ? type === "dmesg"
          ? "unreadable"
          : "-"
        : `${header.reason}#${header.count} part ${header.part}`,
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
