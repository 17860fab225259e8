import { accessSync, constants, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type EndKind, readEnds } from "../records/index.js";
import type { OnSkipped, RecordEntry } from "../records/record.js";
import { guestFolders, ownerOf } from "./folders.js";

/** How a guest's front-end went away, as its device saw it. */
export interface GuestEnded {
  readonly kind: EndKind;
  /** The name of the guest's directory. */
  readonly guest: string;
  /** Likewise; empty where the directory itself was named. */
  readonly folder: string;
  readonly time: Date;
  /** When the front-end had connected. */
  readonly since: Date;
  /** The guest's boot, 32 hexadecimal digits, where its driver told it. */
  readonly boot?: string;
}

/** What is kept in the directories at `path` of how guests ended, oldest first; none where it is a file. */
export function findEnds(path: string, onSkipped: OnSkipped): GuestEnded[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return guestFolders(path)
    .flatMap((folder) => endsIn(join(path, folder), folder, onSkipped))
    .sort((a, b) => a.time.getTime() - b.time.getTime());
}

function endsIn(directory: string, folder: string, onSkipped: OnSkipped): GuestEnded[] {
  try {
    return readEnds(directory).map(({ kind, timeMs, connectedMs, boot }) => {
      const guest = basename(ownerOf(directory));
      const of = { kind, guest, folder, time: new Date(timeMs), since: new Date(connectedMs) };
      return boot === undefined ? of : { ...of, boot };
    });
  } catch (error) {
    // Of a directory that can't be read, whoever looks for its records is told.
    if (isReadable(directory)) onSkipped(error);
    return [];
  }
}

function isReadable(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A longer last line is shown from where so many bytes are left of it. */
const LAST_LINE_BYTES = 4096;
/** So much of it is shown. */
const LAST_LINE_CHARACTERS = 200;

/** The file that a boot's console output ends in. */
export interface LastConsole {
  readonly name: string;
  /** Undefined where it can't be read. */
  readonly lastLine: string | undefined;
}

/** Finds the last console of an end's boot among `records`, which are looked through once; undefined where there is none. */
export function consolesOf(
  records: readonly RecordEntry[],
): (end: GuestEnded) => LastConsole | undefined {
  const key = (guest: string, boot = "") => `${boot}/${guest}`;
  const consoles = records.filter(({ type, boot }) => type === "console" && boot !== undefined);
  const last = new Map(consoles.map((one) => [key(one.guest, one.boot), one]));
  return ({ folder, boot }) => {
    const found = last.get(key(folder, boot));
    return found === undefined ? undefined : { name: found.name, lastLine: lastLineOf(found) };
  };
}

function lastLineOf(record: RecordEntry): string | undefined {
  const { size, gzip, source } = record;
  if (gzip === true) return undefined;
  try {
    const end = Buffer.concat([...source.read(record, Math.max(0, size - LAST_LINE_BYTES), size)]);
    const lines = end.toString("utf8").split("\n");
    const last = lines.findLast((line) => line.trim() !== "");
    return last?.trimEnd().slice(0, LAST_LINE_CHARACTERS);
  } catch {
    // It was removed at this moment, or may not be read, which is told where its record is asked for.
    return undefined;
  }
}
