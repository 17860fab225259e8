import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import {
  type DecodedRecord,
  type Dump,
  decodeRecord,
  findRecords,
  groupDumps,
  isCutShort,
  joinDump,
  printable,
  type RecordFile,
} from "../report/index.js";
import { isStream, type RecordTypeName } from "../store/index.js";
import { UserError } from "./errors.js";

interface ShowOptions {
  all: boolean;
  raw: boolean;
  ftrace: boolean;
  console: boolean;
  pmsg: boolean;
}

/** Something to show, with a line that says what it is. */
interface Shown {
  readonly title: string;
  text(): Uint8Array;
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
    .option("--all", "every one, oldest first", false)
    .addOption(
      new Option("--ftrace", "the trace of an oops or panic in place of its log")
        .default(false)
        .conflicts(["console", "pmsg"]),
    )
    .addOption(
      new Option("--console", "a boot's console in place of a dump")
        .default(false)
        .conflicts(["ftrace", "pmsg"]),
    )
    .option("--pmsg", "what a boot's user space wrote to /dev/pmsg0, likewise", false)
    .option("--raw", "the guest's bytes as they are; not to a terminal", false)
    .action((path: string, options: ShowOptions) => {
      show(path, options);
    });
}

function typeOf({ ftrace, console, pmsg }: ShowOptions): RecordTypeName {
  if (ftrace) return "ftrace";
  if (console) return "console";
  return pmsg ? "pmsg" : "dmesg";
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
    write(textOf(decodeRecord(only)));
    return;
  }
  const type = typeOf(options);
  const all = contents(
    files.filter((file) => file.type === type),
    type,
  );
  const newest = all.at(-1);
  if (newest === undefined) throw new UserError(`${path} holds no ${type} record`);
  const shown = options.all ? all : [newest];
  for (const one of shown) {
    process.stderr.write(`virtio-pstore: ${one.title}\n`);
    write(one.text());
  }
  if (shown.length < all.length) {
    const what = isStream(type) ? "boots" : "dumps";
    process.stderr.write(
      `virtio-pstore: this is the newest of ${all.length} ${what}; --all shows every one\n`,
    );
  }
}

/** What there is of one type, oldest first. */
function contents(files: readonly RecordFile[], type: RecordTypeName): Shown[] {
  if (!isStream(type)) {
    return groupDumps(files.map(decodeRecord)).map((dump) => ({
      title: dumpTitle(dump),
      text: () => joinDump(dump),
    }));
  }
  return [...files]
    .sort((a, b) => a.time.getTime() - b.time.getTime())
    .map((file) => ({
      title: `${from(file.guest)}${type}-${file.id}, ${bootTitle(file.boot)}last written ${file.time.toISOString()}`,
      text: () => textOf(decodeRecord(file)),
    }));
}

const from = (guest: string): string => (guest === "" ? "" : `${guest}: `);

const bootTitle = (boot: string | undefined): string =>
  boot === undefined ? "" : `boot ${boot}, `;

function dumpTitle(dump: Dump): string {
  const { guest, reason, count, time, boot } = dump;
  const parts = dump.parts.length === 1 ? "1 part" : `${dump.parts.length} parts`;
  const end = isCutShort(dump) ? ", cut short" : "";
  return `${from(guest)}${reason}#${count} at ${time.toISOString()}, ${bootTitle(boot)}${parts}${end}`;
}

function textOf(record: DecodedRecord): Uint8Array {
  if (record.text !== undefined) return record.text;
  process.stderr.write(`virtio-pstore: ${record.path} can't be decompressed; this is how it is\n`);
  return readFileSync(record.path);
}
