import { readFileSync } from "node:fs";
import type { Command } from "commander";
import {
  type DecodedRecord,
  decodeRecord,
  findRecords,
  groupDumps,
  joinDump,
  printable,
} from "../report/index.js";
import { UserError } from "./errors.js";

interface ShowOptions {
  all: boolean;
  raw: boolean;
}

export function addShow(program: Command): void {
  program
    .command("show")
    .summary("show a dump: its parts joined oldest first, decompressed")
    .description(
      "Shows the newest dump of a directory, or all; or what one record's file holds.\n" +
        "Control characters of the guest's text are shown as \\xNN.",
    )
    .argument("<path>", "a directory of records or of guests, or a record's file")
    .option("--all", "every dump, oldest first", false)
    .option("--raw", "the guest's bytes as they are; not to a terminal", false)
    .action((path: string, options: ShowOptions) => {
      show(path, options);
    });
}

function show(path: string, options: ShowOptions): void {
  if (options.raw && process.stdout.isTTY) {
    throw new UserError("--raw could send control sequences to the terminal: use a pipe or a file");
  }
  const write = (text: Uint8Array) => {
    process.stdout.write(options.raw ? text : printable(text));
  };
  const files = findRecords(path);
  const [only] = files;
  if (files.length === 1 && only?.path === path) {
    write(text(decodeRecord(only)));
    return;
  }
  const dumps = groupDumps(files.filter(({ type }) => type === "dmesg").map(decodeRecord));
  const newest = dumps.at(-1);
  if (newest === undefined) throw new UserError(`${path} holds no dmesg record`);
  const shown = options.all ? dumps : [newest];
  for (const dump of shown) {
    const from = dump.guest === "" ? "" : `${dump.guest}: `;
    const parts = dump.parts.length === 1 ? "1 part" : `${dump.parts.length} parts`;
    process.stderr.write(
      `virtio-pstore: ${from}${dump.reason}#${dump.count} at ${dump.time.toISOString()}, ${parts}\n`,
    );
    write(joinDump(dump));
  }
  if (shown.length < dumps.length) {
    process.stderr.write(
      `virtio-pstore: this is the newest of ${dumps.length} dumps; --all shows every one\n`,
    );
  }
}

function text(record: DecodedRecord): Uint8Array {
  if (record.text !== undefined) return record.text;
  process.stderr.write(`virtio-pstore: ${record.path} can't be decompressed; this is how it is\n`);
  return readFileSync(record.path);
}
