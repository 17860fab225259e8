import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { systemReason } from "../native/errno.js";
import {
  type Crash,
  dumpText,
  isText,
  linePieces,
  ownRecords,
  printable,
  printableJson,
  recordBytes,
  streamText,
} from "../report/index.js";
import { makeDirectory, systemFiles } from "../store/index.js";
import { chromeText } from "./chrome.js";
import { addFilterOptions, type CrashFilter, isFiltered } from "./crash-filter.js";
import { crashJson } from "./crash-json.js";
import { CrashesAt } from "./crashes-at.js";
import { USAGE, UserError } from "./errors.js";
import { guestDirectory } from "./guest-directory.js";
import { notEmpty } from "./option-values.js";
import { showJson } from "./show-json.js";
import { writePath } from "./stdout.js";

interface ExportOptions extends CrashFilter {
  readonly output: string;
}

export function addExport(program: Command): void {
  const command = program
    .command("export")
    .summary("copy a crash out: as a folder, a .tar.gz or JSON")
    .description(
      "Copies the newest crash, or the one that is named, into a folder laid out as systemd-pstore " +
        "does in /var/lib/systemd/pstore: OUTPUT/GUEST/ID/dmesg.txt, and the records beside it; a trace " +
        "also as ftrace.json, a Chrome JSON trace, which Perfetto opens. Nothing that " +
        "is there already is replaced. The name that was made is printed.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument("[crash]", "a crash's name, as list tells it")
    .option(
      "-o, --output <path>",
      "a directory, or a file that ends in .tar.gz, .tgz or .json",
      outputPath,
      ".",
    );
  addFilterOptions(command).action(
    (path: string, name: string | undefined, options: ExportOptions) =>
      exportCrash(path, name, options),
  );
}

/** What the name of an output says it is; undefined for a folder. */
const kindOf = (output: string): string | undefined =>
  /\.(json|tar\.gz|tgz)$/i.exec(output)?.[1]?.toLowerCase();

const OTHER_ARCHIVE = /\.(?:tar|tar\.\w+|tbz2?|txz|tzst|zip|7z)$/i;

function outputPath(text: string): string {
  if (text === "-") throw new InvalidArgumentError("Nothing is written to stdout.");
  if (kindOf(text) === undefined && OTHER_ARCHIVE.test(text) && !existsSync(text)) {
    throw new InvalidArgumentError("An archive's name ends in .tar.gz.");
  }
  return notEmpty(text);
}

async function exportCrash(
  path: string,
  name: string | undefined,
  options: ExportOptions,
): Promise<void> {
  if (name !== undefined && isFiltered(options)) {
    throw new UserError("a crash's name says it all: leave out the filters", USAGE);
  }
  const at = new CrashesAt(path, options);
  let made: string;
  try {
    made = await writeCrash(at, at.chosen(name), options.output);
  } finally {
    at.close();
  }
  await writePath(made);
}

/** Returns the name that was made. */
async function writeCrash(at: CrashesAt, crash: Crash, output: string): Promise<string> {
  const kind = kindOf(output);
  const toFile = kind !== undefined;
  if (!toFile) guestDirectory(output, crash.guest);
  const made = toFile ? output : join(output, folderOf(crash));
  if (existsSync(made)) throw new UserError(`${made} is there already: name another --output`);
  makeDirectory(systemFiles, dirname(made));
  // Beside what is to be made, and under its name only when it is whole.
  const temporary = temporaryIn(dirname(made));
  try {
    const whole = join(temporary, "whole");
    if (kind === "json") await writeJson(at, crash, whole);
    else if (!toFile) writeFolder(at, crash, whole);
    else {
      const folder = folderOf(crash);
      const tree = join(temporary, "tree");
      mkdirSync(dirname(join(tree, folder)), { recursive: true });
      writeFolder(at, crash, join(tree, folder));
      pack(tree, folder, whole);
    }
    renameSync(whole, made);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return made;
}

function temporaryIn(directory: string): string {
  try {
    return mkdtempSync(join(directory, ".virtio-pstore-"));
  } catch (error) {
    throw new UserError(`${directory}: ${systemReason(error) ?? String(error)}`);
  }
}

/** The store never gives a record's id twice: no export of one guest is in another's way. */
function folderOf({ name, guest, dump }: Crash): string {
  const [first] = dump.parts;
  // A text has no id.
  const folder = first === undefined || isText(first) ? name.replaceAll("/", "-") : `${first.id}`;
  return join(guest, folder);
}

/** dmesg.txt, what else there is of the boot, and the records as they are stored. */
function writeFolder(at: CrashesAt, crash: Crash, folder: string): void {
  mkdirSync(folder, 0o700);
  const related = at.related(crash);
  const { ftrace, console, pmsg } = related;
  writeText(join(folder, "dmesg.txt"), dumpText(crash.dump));
  if (ftrace !== undefined) {
    writeText(join(folder, "ftrace.txt"), dumpText(ftrace));
    writePieces(join(folder, "ftrace.json"), chromeText(dumpText(ftrace), crash.guest));
  }
  if (console !== undefined) writeText(join(folder, "console.txt"), streamText(console));
  if (pmsg !== undefined) writeText(join(folder, "pmsg.txt"), streamText(pmsg));
  const facts = printableJson(crashJson(crash, at.facts(crash)), 2);
  writeFileSync(join(folder, "crash.json"), `${facts}\n`, { mode: 0o600 });
  for (const record of ownRecords(crash, related)) {
    // As pstorefs calls them in the guest; a text beside the one that is made of it.
    const stored = basename(record.name);
    const name = isText(record)
      ? `stored-${stored}`
      : stored.replace(/^([a-z]+)-(?=[0-9])/, "$1-virtio-");
    writePieces(join(folder, name), recordBytes(record));
    // Lists and dumps' parts go by it.
    utimesSync(join(folder, name), record.time, record.time);
  }
}

function writeText(path: string, text: Iterable<Uint8Array>): void {
  writePieces(path, printablePieces(text));
}

function* printablePieces(text: Iterable<Uint8Array>): Generator<Uint8Array, void, void> {
  for (const piece of linePieces(text)) yield Buffer.from(printable(piece));
}

function writePieces(path: string, pieces: Iterable<Uint8Array>): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (const piece of pieces) writeFileSync(fd, piece);
  } finally {
    closeSync(fd);
  }
}

async function writeJson(at: CrashesAt, crash: Crash, path: string): Promise<void> {
  const fd = openSync(path, "wx", 0o600);
  try {
    await showJson(at, crash, (text) => {
      writeFileSync(fd, text);
      return Promise.resolve(true);
    });
  } finally {
    closeSync(fd);
  }
}

/** tar(1) writes what it is given in the order of names, with no word of who ran it. */
function pack(directory: string, name: string, archive: string): void {
  const fd = openSync(archive, "wx", 0o600);
  try {
    const owner = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
    const { error, status, stderr } = spawnSync(
      "tar",
      ["-cz", ...owner, "-C", directory, "--", name],
      {
        stdio: ["ignore", fd, "pipe"],
        encoding: "utf8",
      },
    );
    if (error !== undefined)
      throw new UserError(`tar can't be run: ${systemReason(error) ?? error.message}`);
    if (status !== 0) throw new UserError(`tar failed: ${stderr.trim().replaceAll("\n", "; ")}`);
  } finally {
    closeSync(fd);
  }
}
