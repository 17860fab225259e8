import { lstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  compareRecords,
  formatRecordName,
  isStream,
  parseRecordName,
  type RecordName,
  readStreamIndex,
} from "../store/index.js";
import { filePieces } from "./pieces.js";

/** A record's file in a directory. */
export interface RecordFile extends RecordName {
  readonly path: string;
  /** The guest whose directory it lies in; empty where the directory was named itself. */
  readonly guest: string;
  /** In bytes, as stored. */
  readonly size: number;
  readonly time: Date;
  /** The guest erased it, and is no longer shown it. */
  readonly erased: boolean;
  /** The guest's boot that a stream belongs to, as 32 hexadecimal digits, where it is known. */
  readonly boot?: string;
}

/** Told of a directory that can't be read, and is left out. */
export type OnSkipped = (error: unknown) => void;

/** Where the store keeps the names of erased records. */
const ERASED_NAME = ".erased";

/** More names than a directory has records; the rest of a file that is longer isn't read. */
const MAX_ERASED_BYTES = 64 << 20;

function erasedIn(directory: string): Set<string> {
  const path = join(directory, ERASED_NAME);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile()) return new Set();
  const bytes = Buffer.concat([...filePieces(path, 0, Math.min(found.size, MAX_ERASED_BYTES))]);
  // What follows the last line end is a name that is being written.
  return new Set(bytes.toString("latin1").split("\n").slice(0, -1));
}

/** What the store remembers of a directory's records. */
interface Remembered {
  readonly erased: ReadonlySet<string>;
  /** By the streams' names. */
  readonly boots: ReadonlyMap<string, string>;
}

function rememberedIn(directory: string): Remembered {
  const streams = readStreamIndex(directory);
  const boots = new Map(streams.map(({ boot, name }) => [formatRecordName(name), boot]));
  return { erased: erasedIn(directory), boots };
}

function recordFile(
  path: string,
  guest: string,
  name: RecordName,
  { size, mtime }: Stats,
  { erased, boots }: Remembered,
): RecordFile {
  const { type, id } = name;
  const key = formatRecordName({ type, id, compressed: false });
  const file = { ...name, path, guest, size, time: mtime, erased: erased.has(key) };
  const boot = isStream(type) ? boots.get(formatRecordName(name)) : undefined;
  return boot === undefined ? file : { ...file, boot };
}

function recordsOf(directory: string, guest: string): RecordFile[] {
  const files: RecordFile[] = [];
  const remembered = rememberedIn(directory);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const name = parseRecordName(entry.name);
    if (name === undefined || !entry.isFile()) continue;
    const path = join(directory, entry.name);
    // The guest may erase it at this moment.
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined) files.push(recordFile(path, guest, name, found, remembered));
  }
  return files.sort(compareRecords);
}

/**
 * The records at `path`: a directory of records, a directory of guests' directories, or one record's
 * file. By guest, oldest first. `onSkipped` is told of subdirectories that can't be read, such as
 * lost+found.
 */
export function findRecords(path: string, onSkipped: OnSkipped = () => undefined): RecordFile[] {
  const found = statSync(path);
  if (!found.isDirectory()) {
    const name = parseRecordName(basename(path));
    if (name === undefined || !found.isFile()) return [];
    return [recordFile(path, "", name, found, rememberedIn(dirname(path)))];
  }
  const guests = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  const files = recordsOf(path, "");
  for (const guest of guests) {
    try {
      for (const file of recordsOf(join(path, guest), guest)) files.push(file);
    } catch (error) {
      onSkipped(error);
    }
  }
  return files;
}
