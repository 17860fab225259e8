import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { compareRecords, parseRecordName, type RecordName } from "../store/index.js";
import { decompress, isRecordText } from "./decompress.js";

/** A record's file in a directory. */
export interface RecordFile extends RecordName {
  readonly path: string;
  /** The guest whose directory it lies in; empty where the directory was named itself. */
  readonly guest: string;
  /** In bytes, as stored. */
  readonly size: number;
  readonly time: Date;
}

/** What pstore's first line says: `Panic#1 Part2`. */
export interface RecordHeader {
  /** Why the dump was made: Panic, Oops, … */
  readonly reason: string;
  /** Oopses and panics since boot, this one included. */
  readonly count: number;
  /** Part 1 holds the newest text. */
  readonly part: number;
}

/** A record that was read. */
export interface DecodedRecord extends RecordFile {
  /** Undefined where the record isn't pstore's core's: a console. */
  readonly header: RecordHeader | undefined;
  /** Decompressed and without the header line; undefined where no decompressor reads it. */
  readonly text: Buffer | undefined;
}

const HEADER = /^([A-Z][A-Za-z ]*)#([0-9]{1,9}) Part([0-9]{1,9})\n/;

function recordsOf(directory: string, guest: string): RecordFile[] {
  const files: RecordFile[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const name = parseRecordName(entry.name);
    if (name === undefined || !entry.isFile()) continue;
    const path = join(directory, entry.name);
    const { size, mtime } = statSync(path);
    files.push({ ...name, path, guest, size, time: mtime });
  }
  return files.sort(compareRecords);
}

/**
 * The records at `path`: a directory of records, a directory of guests' directories, or one record's
 * file. By guest, oldest first.
 */
export function findRecords(path: string): RecordFile[] {
  const found = statSync(path);
  if (!found.isDirectory()) {
    const name = parseRecordName(basename(path));
    if (name === undefined) return [];
    const { size, mtime } = found;
    return [{ ...name, path, guest: "", size, time: mtime }];
  }
  const guests = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  return [
    ...recordsOf(path, ""),
    ...guests.flatMap((guest) => recordsOf(join(path, guest), guest)),
  ];
}

/** Reads one record. */
export function decodeRecord(file: RecordFile): DecodedRecord {
  const stored = readFileSync(file.path);
  const whole = file.compressed ? decompress(stored) : stored;
  if (whole === undefined || !isRecordText(whole))
    return { ...file, header: undefined, text: whole };
  const match = HEADER.exec(whole.subarray(0, 128).toString("latin1"));
  if (match === null) return { ...file, header: undefined, text: whole };
  const header = { reason: match[1] ?? "", count: Number(match[2]), part: Number(match[3]) };
  return { ...file, header, text: whole.subarray(match[0].length) };
}
