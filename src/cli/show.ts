import { type Command, Option } from "commander";
import {
  type Dump,
  dumpText,
  groupDumps,
  type HeadedRecord,
  isCutShort,
  linePieces,
  printable,
  type RecordEntry,
  readHeader,
  recordBytes,
  recordText,
} from "../report/index.js";
import { isStream, type RecordTypeName } from "../store/index.js";
import { errorLine, UserError, warn } from "./errors.js";
import { recordsAt } from "./records-at.js";
import { expectNoTerminal, writeOut } from "./stdout.js";

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
  text(): Iterable<Uint8Array>;
}

export function addShow(program: Command): void {
  program
    .command("show")
    .summary("show a dump: its parts joined oldest first, decompressed")
    .description(
      "Shows the newest dump of a directory, or all; or what one record's file holds. " +
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
    .action((path: string, options: ShowOptions) => show(path, options));
}

function typeOf({ ftrace, console, pmsg }: ShowOptions): RecordTypeName {
  if (ftrace) return "ftrace";
  if (console) return "console";
  return pmsg ? "pmsg" : "dmesg";
}

async function show(path: string, options: ShowOptions): Promise<void> {
  if (options.raw) expectNoTerminal();
  const { files, only } = recordsAt(path);
  if (only !== undefined) {
    await write(fileText(only), options);
    return;
  }
  const type = typeOf(options);
  const ofType = files.filter((file) => file.type === type);
  const all = isStream(type) ? streams(ofType) : dumps(ofType);
  const newest = all.at(-1);
  if (newest === undefined) throw new UserError(`${path} ${nothing(type, files)}`);
  const shown = options.all ? all : [newest];
  for (const one of shown) {
    warn(one.title);
    if (!(await write(one.text(), options))) return;
  }
  if (shown.length < all.length) {
    const what = isStream(type) ? "boots" : "dumps";
    warn(`this is the newest of ${all.length} ${what}; --all shows every one`);
  }
}

/** Dumps, oldest first. By their headers alone: only what is shown is decompressed. */
function dumps(files: readonly RecordEntry[]): Shown[] {
  return groupDumps(files.flatMap(headed)).map((dump) => ({
    title: dumpTitle(dump),
    text: () => dumpText(dump),
  }));
}

/** Streams, the one that was last written last. */
function streams(files: readonly RecordEntry[]): Shown[] {
  return [...files]
    .sort((a, b) => a.time.getTime() - b.time.getTime())
    .map((file) => ({
      title: `${from(file.guest)}${file.type}-${file.id}, ${bootTitle(file.boot)}last written ${file.time.toISOString()}`,
      text: () => fileText(file),
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

/** A record that can't be read, or is erased at this moment, doesn't keep the others from being shown. */
function headed(file: RecordEntry): HeadedRecord[] {
  try {
    return [readHeader(file)];
  } catch (error) {
    warn(errorLine(error));
    return [];
  }
}

/** False where nobody reads any more. */
async function write(text: Iterable<Uint8Array>, { raw }: ShowOptions): Promise<boolean> {
  for (const piece of raw ? text : linePieces(text)) {
    if (!(await writeOut(raw ? piece : printable(piece)))) return false;
  }
  return true;
}

function fileText(file: RecordEntry): Iterable<Uint8Array> {
  const text = recordText(readHeader(file));
  if (text !== undefined) return text;
  warn(`${file.path} can't be decompressed; this is how it is`);
  return recordBytes(file);
}

/** Streams aren't shown with dumps: one can be very long. */
function nothing(type: RecordTypeName, files: readonly RecordEntry[]): string {
  const stream = files.findLast((file) => isStream(file.type));
  if (isStream(type) || stream === undefined) return `holds no ${type} record`;
  const what = stream.type === "console" ? "console output" : "what user space wrote";
  return `holds no ${type} record, but ${what}: \`virtio-pstore show ${stream.path}\` shows it`;
}
