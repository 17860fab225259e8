import type { Command } from "commander";
import {
  dumpText,
  groupDumps,
  type HeadedRecord,
  linePieces,
  printable,
  type RecordFile,
  readHeader,
  recordBytes,
  recordText,
} from "../report/index.js";
import { errorLine, UserError, warn } from "./errors.js";
import { recordsAt } from "./records-at.js";
import { writeOut } from "./stdout.js";

interface ShowOptions {
  all: boolean;
  raw: boolean;
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
    .option("--all", "every dump, oldest first", false)
    .option("--raw", "the guest's bytes as they are; not to a terminal", false)
    .action((path: string, options: ShowOptions) => show(path, options));
}

async function show(path: string, options: ShowOptions): Promise<void> {
  if (options.raw && process.stdout.isTTY) {
    throw new UserError("--raw could send control sequences to the terminal: use a pipe or a file");
  }
  const { files, only } = recordsAt(path);
  if (only !== undefined) {
    await write(fileText(only), options);
    return;
  }
  // By their headers alone: only what is shown is decompressed.
  const dumps = groupDumps(files.filter(({ type }) => type === "dmesg").flatMap(headed));
  const newest = dumps.at(-1);
  if (newest === undefined) throw new UserError(`${path} ${noDump(files)}`);
  const shown = options.all ? dumps : [newest];
  for (const dump of shown) {
    const from = dump.guest === "" ? "" : `${dump.guest}: `;
    const parts = dump.parts.length === 1 ? "1 part" : `${dump.parts.length} parts`;
    warn(`${from}${dump.reason}#${dump.count} at ${dump.time.toISOString()}, ${parts}`);
    if (!(await write(dumpText(dump), options))) return;
  }
  if (shown.length < dumps.length) {
    warn(`this is the newest of ${dumps.length} dumps; --all shows every one`);
  }
}

/** A record that can't be read, or is erased at this moment, doesn't keep the others from being shown. */
function headed(file: RecordFile): HeadedRecord[] {
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

function fileText(file: RecordFile): Iterable<Uint8Array> {
  const text = recordText(readHeader(file));
  if (text !== undefined) return text;
  warn(`${file.path} can't be decompressed; this is how it is`);
  return recordBytes(file);
}

/** Consoles aren't shown with dumps: one can be very long. */
function noDump(files: readonly RecordFile[]): string {
  const console = files.at(-1);
  if (console === undefined) return "holds no dmesg record";
  return `holds no dmesg record, but console output: \`virtio-pstore show ${console.path}\` shows it`;
}
