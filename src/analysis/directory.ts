import {
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  CPER_NAME,
  type CperRecord,
  ErstError,
  parseCper,
  payloadOf,
  timeOf,
} from "../formats/erst/index.js";
import { zlib } from "../os/builtins.js";
import {
  compareRecords,
  isStream,
  MAX_HEADER_BYTES,
  parseHeader,
  parseRecordName,
  type RecordName,
  readErased,
  readStreamIndex,
  recordKey,
  type StreamSegment,
} from "../records/index.js";
import { filePieces } from "../records/pieces.js";
import { parseEfiName, parsePstorefsName } from "../records/pstorefs-name.js";
import type { OnSkipped, RecordEntry, RecordSource } from "../records/record.js";
import { parseTextName } from "../records/text-name.js";

/** Records as the store keeps them: each is a file, beside which its owner may have put a copy (`gzip -k`). */
const files: RecordSource = {
  read: ({ path }, from, to) => filePieces(path, from, to),
  remove: (records) => {
    for (const record of [...records].reverse()) removeFile(record);
    const copies = records.filter(({ name }) => parsePstorefsName(basename(name)) !== undefined);
    for (const directory of new Set(copies.map(({ path }) => dirname(path)))) removeText(directory);
  },
};

function removeFile({ path, compressed, gzip }: RecordEntry): void {
  const copy = `${path}.gz`;
  const mayHaveCopy = !compressed && gzip !== true;
  if (mayHaveCopy && isCopy(copy, path) && isSameText(copy, path)) unlinkSync(copy);
  unlinkSync(path);
}

/** Goes with the last of the dumps that systemd-pstore, or export, made it of. */
function removeText(directory: string): void {
  const names = readdirSync(directory);
  const records = names.map((name) => parseRecordName(name) ?? parsePstorefsName(name));
  if (records.some((record) => record?.type === "dmesg")) return;
  for (const name of names) {
    if (parseTextName(name) !== undefined) unlinkSync(join(directory, name));
  }
}

/** Whether a .gz file says that it holds as much as the record has (RFC 1952, ISIZE): the copy that gzip -k made. */
function isCopy(copy: string, path: string): boolean {
  const record = statsOf(path);
  const found = statsOf(copy);
  if (record === undefined || found === undefined || found.size < ISIZE_BYTES) return false;
  const bytes = Buffer.concat([...filePieces(copy, found.size - ISIZE_BYTES, found.size)]);
  return bytes.length === ISIZE_BYTES && bytes.readUInt32LE() === record.size % 2 ** 32;
}

/** Undefined where it is no regular file, or is gone: the guest may erase it at this moment. */
function statsOf(path: string): Stats | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true ? stats : undefined;
}

/** What is removed has to be what was shown: another record may have the same id, and even the same size. */
function isSameText(copy: string, path: string): boolean {
  try {
    const text = readFileSync(path);
    return zlib()
      .gunzipSync(readFileSync(copy), { maxOutputLength: text.length + 1 })
      .equals(text);
  } catch {
    return false;
  }
}

const ISIZE_BYTES = 4;

const filesOf = (directory: string): RecordSource => ({ ...files, directory });

/** What a directory's own files say of its records. */
interface Notes {
  /** Names without what says how they are compressed. */
  readonly erased: ReadonlySet<string>;
  /** By the streams' names. */
  readonly segments: ReadonlyMap<string, StreamSegment>;
}

/** Notes that can't be read are none: the records can be shown without. */
function notesOf(directory: string, onSkipped: OnSkipped): Notes {
  const noted = <T>(read: () => T, none: T): T => {
    try {
      return read();
    } catch (error) {
      onSkipped(error);
      return none;
    }
  };
  const segments = noted(() => readStreamIndex(directory), []);
  return {
    erased: noted(() => readErased(directory), new Set()),
    segments: new Map(segments.map((segment) => [recordKey(segment.name), segment])),
  };
}

function recordFile(
  path: string,
  name: string,
  guest: string,
  parsed: RecordName,
  { size, mtimeMs }: Stats,
  { erased, segments }: Notes,
  source: RecordSource,
): RecordEntry {
  const { type, id, compressed, gzip } = parsed;
  const key = recordKey(parsed);
  // A copy needn't have the records' times.
  const time = parseEfiName(name)?.time ?? new Date(mtimeMs);
  const isErased = erased.has(key);
  // Thousands of these are made: all properties at once take a tenth of the time.
  const of = { type, id, compressed, name, path, guest, size, time, erased: isErased, source };
  const record = gzip === undefined ? of : { ...of, gzip };
  const segment = isStream(type) ? segments.get(key) : undefined;
  if (segment === undefined) return record;
  const { boot, first, offset } = segment;
  const part = { ...record, stream: { first: recordKey(first), offset } };
  return boot === undefined ? part : { ...part, boot };
}

/** A header and all section descriptors; what is longer is no record that is known. */
const CPER_BEGINNING_BYTES = 64 << 10;

/** A record of an ERST file that is no dump's part, copied as a whole; undefined for other names. */
function cperFile(path: string, guest: string, onSkipped: OnSkipped): RecordEntry | undefined {
  const name = basename(path);
  const digits = CPER_NAME.exec(name)?.[1];
  const found = digits === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
  if (digits === undefined || found === undefined) return undefined;
  const { size, mtime } = found;
  const id = BigInt(`0x${digits}`);
  const record = beginningOf(path, size, onSkipped);
  const type = record !== undefined && payloadOf(record).type === "mce" ? "mce" : "unknown";
  const time = (record && timeOf(record)) ?? mtime;
  const of = { type, id, compressed: false, name, path, guest, size, time } as const;
  return { ...of, erased: false, source: files };
}

function beginningOf(path: string, size: number, onSkipped: OnSkipped): CperRecord | undefined {
  try {
    return parseCper(Buffer.concat([...filePieces(path, 0, Math.min(size, CPER_BEGINNING_BYTES))]));
  } catch (error) {
    if (!(error instanceof ErstError)) onSkipped(error);
    return undefined;
  }
}

/** What lies in one directory. */
export interface Holding {
  /** Records that the store made, and those of a machine check. */
  readonly own: RecordEntry[];
  /** Copies of another back-end's, or a text, in no order. */
  readonly copied: RecordEntry[];
  /** The names of its subdirectories. */
  readonly folders: readonly string[];
}

/** What lies in a directory, not below it. */
export function holdingOf(directory: string, guest: string, onSkipped: OnSkipped): Holding {
  const own: RecordEntry[] = [];
  const copied: RecordEntry[] = [];
  const texts: RecordEntry[] = [];
  // Before the notes: a directory that can't be read is what is complained of.
  const all = readdirSync(directory, { withFileTypes: true });
  const notes = notesOf(directory, onSkipped);
  const source = filesOf(directory);
  // join() for each of thousands takes long.
  const before = join(directory, "-").slice(0, -1);
  for (const entry of all) {
    if (!entry.isFile()) continue;
    const path = before + entry.name;
    const stored = parseRecordName(entry.name);
    const copy = stored ?? parsePstorefsName(entry.name);
    const name = copy ?? parseTextName(entry.name);
    if (name === undefined) {
      const other = cperFile(path, guest, onSkipped);
      if (other !== undefined) own.push(other);
      continue;
    }
    if (name.gzip === true && isCopy(path, path.replace(/\.gz$/, ""))) continue;
    const stats = statsOf(path);
    if (stats === undefined) continue;
    const records = stored !== undefined ? own : copy !== undefined ? copied : texts;
    records.push(recordFile(path, entry.name, guest, name, stats, notes, source));
  }
  // Beside records it is what systemd-pstore, or export, made of them.
  const hasDumps = [...own, ...copied].some(({ type }) => type === "dmesg");
  if (!hasDumps) copied.push(...texts);
  const folders = all.filter((one) => one.isDirectory()).map(({ name }) => name);
  return { own, copied, folders };
}

/**
 * Another back-end's ids needn't go up: ramoops's are the places in its memory. efi-pstore's go up by part, and
 * those of two dumps of one second lie between each other.
 */
export function compareCopied(a: RecordEntry, b: RecordEntry): number {
  const count = ({ name }: RecordEntry) => parseEfiName(name)?.count ?? 0;
  return a.time.getTime() - b.time.getTime() || count(a) - count(b) || compareRecords(a, b);
}

/** What was saved under any name, if it begins as pstore's records do. */
function parseContents(path: string): RecordName | undefined {
  const beginning = Buffer.concat([...filePieces(realpathSync(path), 0, MAX_HEADER_BYTES)]);
  const isDump = parseHeader(beginning) !== undefined;
  return isDump ? { type: "dmesg", id: 0n, compressed: false } : undefined;
}

/** One record's file; none where it is no record. */
export function recordInDirectory(path: string, onSkipped: OnSkipped): RecordEntry[] {
  const file = basename(path);
  const found = statSync(path);
  if (!found.isFile()) return [];
  const name =
    parseRecordName(file) ?? parsePstorefsName(file) ?? parseTextName(file) ?? parseContents(path);
  if (name === undefined) return [cperFile(path, "", onSkipped) ?? []].flat();
  // A link that the user names is followed, none that lies in a directory.
  const notes = notesOf(dirname(path), onSkipped);
  const real = realpathSync(path);
  return [recordFile(real, basename(real), "", name, found, notes, files)];
}
