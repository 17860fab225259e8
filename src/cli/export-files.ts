import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setImmediate as afterSignals } from "node:timers/promises";
import { type Crash, dumpText, ownRecords, recordBytes, streamText } from "../analysis/index.js";
import { systemReason } from "../os/errno.js";
import { isText, linePieces, printable, printableJson } from "../records/index.js";
import { UserError } from "../service/errors.js";
import { chromeText } from "./chrome.js";
import { crashJson } from "./crash-json.js";
import type { CrashesAt } from "./crashes-at.js";
import { showJson } from "./show-json.js";

/** So many pieces, of 64 KiB each, are written before a signal is looked for. */
const PIECES_AT_ONCE = 16;

const MOST_TOLD_CHARS = 1000;

/** dmesg.txt, what else there is of the boot, and the records as they are stored. */
export async function writeFolder(
  at: CrashesAt,
  crash: Crash,
  folder: string,
  stop: AbortSignal,
): Promise<void> {
  mkdirSync(folder, 0o700);
  const related = at.related(crash);
  const { ftrace, console, pmsg } = related;
  const write = (name: string, pieces: Iterable<Uint8Array>) =>
    writePieces(join(folder, name), pieces, stop);
  await write("dmesg.txt", printablePieces(dumpText(crash.dump)));
  if (ftrace !== undefined) {
    await write("ftrace.txt", printablePieces(dumpText(ftrace)));
    await write("ftrace.json", chromeText(dumpText(ftrace), crash.guest));
  }
  if (console !== undefined) await write("console.txt", printablePieces(streamText(console)));
  if (pmsg !== undefined) await write("pmsg.txt", printablePieces(streamText(pmsg)));
  const facts = printableJson(crashJson(crash, at.facts(crash)), 2);
  writeFileSync(join(folder, "crash.json"), `${facts}\n`, { mode: 0o600 });
  for (const record of ownRecords(crash, related)) {
    // As pstorefs calls them in the guest; a text beside the one that is made of it.
    const stored = basename(record.name);
    const name = isText(record)
      ? `stored-${stored}`
      : stored.replace(/^([a-z]+)-(?=[0-9])/, "$1-virtio-");
    await write(name, recordBytes(record));
    // Lists and dumps' parts go by it.
    utimesSync(join(folder, name), record.time, record.time);
  }
}

function* printablePieces(text: Iterable<Uint8Array>): Generator<Uint8Array, void, void> {
  for (const piece of linePieces(text)) yield Buffer.from(printable(piece));
}

async function writePieces(
  path: string,
  pieces: Iterable<Uint8Array>,
  stop: AbortSignal,
): Promise<void> {
  const fd = openSync(path, "wx", 0o600);
  let count = 0;
  try {
    for (const piece of pieces) {
      if (count++ % PIECES_AT_ONCE === 0) await pause(stop);
      writeFileSync(fd, piece);
    }
  } finally {
    closeSync(fd);
  }
}

async function pause(stop: AbortSignal): Promise<void> {
  await afterSignals();
  stop.throwIfAborted();
}

export async function writeJson(
  at: CrashesAt,
  crash: Crash,
  path: string,
  stop: AbortSignal,
): Promise<void> {
  const fd = openSync(path, "wx", 0o600);
  try {
    await showJson(at, crash, async (text) => {
      await pause(stop);
      writeFileSync(fd, text);
      return true;
    });
  } finally {
    closeSync(fd);
  }
}

/** tar(1) writes what it is given in the order of names, with no word of who ran it. */
export async function pack(
  directory: string,
  name: string,
  archive: string,
  stop: AbortSignal,
): Promise<void> {
  const fd = openSync(archive, "wx", 0o600);
  try {
    const owner = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
    await runTar(["-cz", ...owner, "-C", directory, "--", name], fd, stop);
  } finally {
    closeSync(fd);
  }
}

function runTar(args: readonly string[], output: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let told = "";
    const child = spawn("tar", args, { stdio: ["ignore", output, "pipe"], signal });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      told = (told + text).slice(-MOST_TOLD_CHARS);
    });
    child.on("error", (error) => {
      reject(new UserError(`tar can't be run: ${systemReason(error) ?? error.message}`));
    });
    child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new UserError(`tar failed: ${told.trim().replaceAll("\n", "; ")}`));
    });
  });
}
