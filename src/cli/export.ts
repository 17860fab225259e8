import { existsSync, mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { Crash } from "../analysis/index.js";
import { systemReason } from "../os/errno.js";
import { isText } from "../records/index.js";
import { USAGE, UserError } from "../service/errors.js";
import { endBySignal, onSignals } from "../service/signals.js";
import { makeDirectory, systemFiles } from "../store/index.js";
import { addFilterOptions, type CrashFilter, isFiltered } from "./crash-filter.js";
import { CrashesAt } from "./crashes-at.js";
import { pack, writeFolder, writeJson } from "./export-files.js";
import { guestDirectory } from "./guest-directory.js";
import { notEmpty } from "./option-values.js";
import { writePath } from "./stdout.js";

interface ExportOptions extends CrashFilter {
  readonly output: string;
}

export function addExport(program: Command): void {
  const command = program
    .command("export")
    .summary("copy a crash out: as a folder, a .tar.gz or JSON")
    .description(
      "Copies the newest crash, or the one that CRASH names, and prints the name of what it made. A folder is laid " +
        "out like systemd-pstore's: OUTPUT/GUEST/ID/dmesg.txt, with the records beside it. A trace also becomes " +
        "ftrace.json, a Chrome JSON trace, which Perfetto opens. Existing files are never replaced.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument("[crash]", "a crash's name, as list prints it")
    .option(
      "-o, --output <path>",
      "a directory, or a file whose name ends in .tar.gz, .tgz or .json",
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
    throw new UserError("CRASH names one crash: leave out the filters", USAGE);
  }
  const at = new CrashesAt(path, options);
  const stop = new AbortController();
  try {
    const crash = at.chosen(name);
    onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (signal) => {
      if (stop.signal.aborted) endBySignal(signal);
      stop.abort(signal);
    });
    const made = await writeCrash(at, crash, options.output, stop.signal);
    await writePath(made);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    endBySignal(stop.signal.reason as NodeJS.Signals);
  } finally {
    at.close();
  }
}

/** Returns the name that was made. Where it fails, or is aborted, nothing is left of what it made. */
async function writeCrash(
  at: CrashesAt,
  crash: Crash,
  output: string,
  stop: AbortSignal,
): Promise<string> {
  const kind = kindOf(output);
  const toFile = kind !== undefined;
  const parent = dirname(output);
  if (!existsSync(parent)) throw new UserError(`${parent}: no such directory: make it first`);
  if (!toFile) guestDirectory(output, crash.guest);
  const made = toFile ? output : join(output, folderOf(crash));
  if (existsSync(made)) throw new UserError(`${made} is there already: name another --output`);
  const folders = toFile ? [] : [output, dirname(made)].filter((path) => !existsSync(path));
  let temporary: string | undefined;
  let isMade = false;
  try {
    for (const folder of folders) makeDirectory(systemFiles, folder);
    // Beside what is to be made, and under its name only when it is whole.
    temporary = temporaryIn(dirname(made));
    const whole = join(temporary, "whole");
    if (kind === "json") await writeJson(at, crash, whole, stop);
    else if (!toFile) await writeFolder(at, crash, whole, stop);
    else {
      const folder = folderOf(crash);
      const tree = join(temporary, "tree");
      mkdirSync(dirname(join(tree, folder)), { recursive: true });
      await writeFolder(at, crash, join(tree, folder), stop);
      await pack(tree, folder, whole, stop);
    }
    renameSync(whole, made);
    isMade = true;
  } finally {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
    if (!isMade) for (const folder of folders.reverse()) removeEmpty(folder);
  }
  return made;
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Another export has put something there, or it was never made.
  }
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
