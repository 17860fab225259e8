import { isStream } from "../store/index.js";
import { decompress, gunzip } from "./decompress.js";
import { parseHeader, type RecordHeader } from "./header.js";
import { filePieces, piecesOf } from "./pieces.js";
import type { RecordFile } from "./records.js";

/** A record whose beginning was read. */
export interface HeadedRecord extends RecordFile {
  /** Undefined where the record has none: a stream, or what can't be decompressed. */
  readonly header: RecordHeader | undefined;
  /** The header line's length; where the text of a record that isn't compressed begins. */
  readonly headerBytes: number;
}

/** A record all of which was read, though its text isn't kept. */
export interface DecodedRecord extends HeadedRecord {
  /** Without the header line; undefined where no decompressor reads it. */
  readonly textBytes: number | undefined;
}

/** Inflates to 1 MiB at most, and to a whole first line. */
const BEGINNING_BYTES = 1024;

/** A record's largest file: the guest's buffer has 4 MiB at most. */
const MAX_COMPRESSED_BYTES = 16 << 20;

/** A stream is as the guest wrote it. */
const isPlain = ({ type, compressed, gzip }: RecordFile): boolean =>
  isStream(type) || !(compressed || gzip === true);

const unpack = ({ gzip }: RecordFile, bytes: Buffer): Buffer | undefined =>
  gzip === true ? gunzip(bytes) : decompress(bytes);

const contents = (file: RecordFile, bytes: number): Buffer =>
  Buffer.concat([...filePieces(file.path, 0, bytes)]);

/** Reads a record's beginning, whatever its size. */
export function readHeader(file: RecordFile): HeadedRecord {
  const none = { ...file, header: undefined, headerBytes: 0 };
  if (isStream(file.type)) return none;
  const beginning = contents(file, Math.min(file.size, BEGINNING_BYTES));
  const text = isPlain(file) ? beginning : unpack(file, beginning);
  const found = text === undefined ? undefined : parseHeader(text);
  return found === undefined ? none : { ...file, header: found.header, headerBytes: found.bytes };
}

/** The text of a record that is compressed, whole: it is small. */
function inflated(file: RecordFile): Buffer | undefined {
  if (file.size > MAX_COMPRESSED_BYTES) return undefined;
  const text = unpack(file, contents(file, file.size));
  return text?.subarray(parseHeader(text)?.bytes ?? 0);
}

/** Reads one record to its end. */
export function decodeRecord(file: RecordFile): DecodedRecord {
  const record = readHeader(file);
  const textBytes = isPlain(file) ? file.size - record.headerBytes : inflated(file)?.length;
  return { ...record, textBytes };
}

/** A record's text in pieces, decompressed and without the header line; undefined where nothing reads it. */
export function recordText(record: HeadedRecord): Iterable<Buffer> | undefined {
  if (isPlain(record)) return filePieces(record.path, record.headerBytes, record.size);
  const text = inflated(record);
  return text === undefined ? undefined : piecesOf(text);
}

/** A record's file as it is stored, in pieces. */
export function recordBytes(record: RecordFile): Iterable<Buffer> {
  return filePieces(record.path, 0, record.size);
}
