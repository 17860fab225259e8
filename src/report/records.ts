import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  compareRecords,
  formatRecordName,
  isStream,
  parseRecordName,
  type RecordName,
  readStreamIndex,
} from "../store/index.js";
import { decompress, gunzip } from "./decompress.js";
import { type RecordHeader, splitHeader } from "./header.js";

/** A record's file in a directory. */
export interface RecordFile extends RecordName {
  readonly path: string;
  /** The guest whose directory it lies in; empty where the directory was named itself. */
  readonly guest: string;
  /** In bytes, as stored. */
  readonly size: number;
  readonly time: Date;
  /** The guest's boot that a stream belongs to, as 32 hexadecimal digits, where it is known. */
  readonly boot?: string;
}

/** A record that was read. */
export interface DecodedRecord extends RecordFile {
  /** Undefined where the record has none: a stream. */
  readonly header: RecordHeader | undefined;
  /** Decompressed and without the header line; undefined where no decompressor reads it. */
  readonly text: Buffer | undefined;
}

const boots = (directory: string): Map<string, string> =>
  new Map(readStreamIndex(directory).map(({ boot, name }) => [formatRecordName(name), boot]));

function recordFile(path: string, name: RecordName, guest: string, boot?: string): RecordFile {
  const { size, mtime } = statSync(path);
  const file = { ...name, path, guest, size, time: mtime };
  return boot === undefined ? file : { ...file, boot };
}

function recordsOf(directory: string, guest: string): RecordFile[] {
  const files: RecordFile[] = [];
  const bootOf = boots(directory);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const name = parseRecordName(entry.name);
    if (name === undefined || !entry.isFile()) continue;
    const path = join(directory, entry.name);
    files.push(recordFile(path, name, guest, bootOf.get(entry.name)));
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
    const boot = isStream(name.type) ? boots(dirname(path)).get(basename(path)) : undefined;
    return [recordFile(path, name, "", boot)];
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
  const whole = file.compressed ? decompress(stored) : file.gzip === true ? gunzip(stored) : stored;
  const split = whole === undefined || isStream(file.type) ? undefined : splitHeader(whole);
  return { ...file, header: split?.header, text: split?.text ?? whole };
}
