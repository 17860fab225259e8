import { isDump, parseHeader, type RecordHeader } from "../store/index.js";
import { decompress, gunzip, gunzipBeginning } from "./decompress.js";
import { piecesOf } from "./pieces.js";
import { ringText } from "./printk-ring.js";
import type { RecordEntry } from "./records.js";

/** A record whose beginning was read. */
export interface HeadedRecord extends RecordEntry {
  /** Undefined where the record is no dump's, or can't be decompressed. */
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

/** A record is stored in at most so many bytes: the guest's buffer has 4 MiB at most. */
const MAX_COMPRESSED_BYTES = 16 << 20;

/** What isn't a dump's is as the guest wrote it, unless its owner compressed it. */
const isPlain = ({ type, compressed, gzip }: RecordEntry): boolean =>
  gzip !== true && !(isDump(type) && compressed);

const contents = (record: RecordEntry, bytes: number): Buffer =>
  Buffer.concat([...record.source.read(record, 0, bytes)]);

/** Reads a record's beginning, whatever its size. */
export function readHeader(record: RecordEntry): HeadedRecord {
  const none = { ...record, header: undefined, headerBytes: 0 };
  if (!isDump(record.type)) return none;
  const beginning = contents(record, Math.min(record.size, BEGINNING_BYTES));
  const text = isPlain(record)
    ? beginning
    : record.gzip === true
      ? gunzipBeginning(beginning)
      : decompress(beginning);
  const found = text === undefined ? undefined : parseHeader(text);
  return found === undefined ? none : { ...record, header: found.header, headerBytes: found.bytes };
}

/** The text of a record whole, decompressed: it is small. */
function inflated(record: RecordEntry): Buffer | undefined {
  if (record.size > MAX_COMPRESSED_BYTES) return undefined;
  const stored = contents(record, record.size);
  const text = isPlain(record)
    ? stored
    : record.gzip === true
      ? gunzip(stored)
      : decompress(stored);
  return isDump(record.type) ? text?.subarray(parseHeader(text)?.bytes) : text;
}

/** Reads one record to its end. */
export function decodeRecord(record: RecordEntry): DecodedRecord {
  const headed = readHeader(record);
  if (headed.header?.printkRing !== true && isPlain(record)) {
    return { ...headed, textBytes: record.size - headed.headerBytes };
  }
  const text = recordText(headed);
  if (text === undefined) return { ...headed, textBytes: undefined };
  let textBytes = 0;
  for (const piece of text) textBytes += piece.length;
  return { ...headed, textBytes };
}

/** A record's text in pieces, decompressed and without the header line; undefined where nothing reads it. */
export function recordText(record: HeadedRecord): Iterable<Buffer> | undefined {
  const ring = record.header?.printkRing === true;
  if (isPlain(record) && !ring) {
    return record.source.read(record, record.headerBytes, record.size);
  }
  const text = inflated(record);
  if (text === undefined) return undefined;
  return ring ? ringText(text) : piecesOf(text);
}

/** A record as it is stored, in pieces. */
export function recordBytes(record: RecordEntry): Iterable<Buffer> {
  return record.source.read(record, 0, record.size);
}
