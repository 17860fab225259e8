import { isUtf8 } from "node:buffer";
import type { Decoded, Ending } from "../formats/compression/output.js";
import { compressedHeader, decompress, gunzip, MAX_TEXT_BYTES } from "../formats/decompress.js";
import { ringText } from "../formats/printk-ring.js";
import { systemReason } from "../os/errno.js";
import { isDump, MAX_SEGMENT_BYTES, parseHeader, type RecordHeader } from "../records/index.js";
import { note } from "../records/note.js";
import { piecesOf, wholeCharacters } from "../records/pieces.js";
import type { RecordEntry } from "../records/record.js";
import { PutTogether } from "./put-together.js";

/** A record whose beginning was read. */
export interface HeadedRecord extends RecordEntry {
  /** Undefined where the record is no dump's, or can't be decompressed. */
  readonly header: RecordHeader | undefined;
  /** Where the text begins in the record as it is stored; 0 where it has no header or is compressed. */
  readonly headerBytes: number;
}

/** A record all of which was read, though its text isn't kept. */
export interface DecodedRecord extends HeadedRecord {
  /** Without the header line, and without notes of ours; undefined where no decompressor reads it, or it is too large. */
  readonly textBytes: number | undefined;
  /** Why a compressed record's text isn't whole; absent where it is. */
  readonly ending?: Exclude<Ending, "whole">;
}

/** Inflates to 1 MiB at most, and to a whole first line. */
const BEGINNING_BYTES = 1024;

/** A dump's record is stored in at most so many bytes: the guest's buffer has 4 MiB at most. */
const MAX_COMPRESSED_BYTES = 16 << 20;

/** Of a stream's file that its owner compressed, which has a note at its end, or is a little larger so. */
const MAX_STREAM_BYTES = MAX_SEGMENT_BYTES + (1 << 20);

/** Larger than the log of any kernel: it isn't read as a whole to look for parts. */
const MAX_PUT_TOGETHER_BYTES = 64 << 20;

const contents = (record: RecordEntry, bytes: number): Buffer =>
  Buffer.concat([...record.source.read(record, 0, Math.min(record.size, bytes))]);

/** Reads a record's beginning, whatever its size. */
export function readHeader(record: RecordEntry): HeadedRecord {
  const none = { ...record, header: undefined, headerBytes: 0 };
  if (!isDump(record.type)) return none;
  const beginning = contents(record, BEGINNING_BYTES);
  const plain = record.gzip === true ? undefined : parseHeader(beginning);
  if (plain !== undefined) {
    const header = plainParts(record, plain)?.header ?? plain.header;
    return { ...record, header, headerBytes: plain.bytes };
  }
  const found =
    headerOf(record, beginning) ??
    // Of a format whose blocks are long, a beginning may hold nothing.
    (record.size > BEGINNING_BYTES && record.size <= MAX_COMPRESSED_BYTES && record.compressed
      ? headerOf(record, contents(record, MAX_COMPRESSED_BYTES))
      : undefined);
  if (found === undefined) return none;
  const header = record.gzip === true ? inflated(none)?.parts?.header : undefined;
  return { ...record, header: header ?? found, headerBytes: 0 };
}

/** The parts of a file that lies there as it is; undefined where it can be only one. */
const plainParts = (
  record: RecordEntry,
  { header, bytes }: { readonly header: RecordHeader; readonly bytes: number },
): PutTogether | undefined =>
  mayHoldSeveral(record, header)
    ? new PutTogether(header, record.source.read(record, bytes, record.size))
    : undefined;

/** Our driver's headers tell the boot, and what the guest compressed is a part as it came. */
const mayHoldSeveral = ({ type, compressed, size }: RecordEntry, { boot }: RecordHeader): boolean =>
  type === "dmesg" && !compressed && boot === undefined && size <= MAX_PUT_TOGETHER_BYTES;

function headerOf({ gzip }: RecordEntry, stored: Buffer): RecordHeader | undefined {
  return gzip === true ? parseHeader(gunzip(stored).text)?.header : compressedHeader(stored);
}

/** Whether the bytes lie there as they are: they tell, and the name where they don't. */
function isPlain({ type, compressed, gzip, header, headerBytes }: HeadedRecord): boolean {
  if (gzip === true) return false;
  // What isn't a dump's is as the guest wrote it, unless its owner compressed it.
  return !isDump(type) || headerBytes > 0 || (header === undefined && !compressed);
}

const isRing = ({ header }: HeadedRecord): boolean => header?.printkRing === true;

/** The most text that a compressed record is taken to hold. */
const mostText = ({ type }: RecordEntry): number =>
  isDump(type) ? MAX_TEXT_BYTES : MAX_STREAM_BYTES;

interface Inflated extends Decoded {
  /** What somebody put together in a file that its owner compressed. */
  readonly parts?: PutTogether;
}

/** Of a beginning at most so many are no text's: a log may hold some. */
const MAX_STRANGE_SHARE = 0.1;

/**
 * Whether a dump's file without a header is no text either: it is compressed in spite of its name, or what is left of
 * it after a crash of the host.
 */
function isBinary(record: HeadedRecord): boolean {
  if (!isDump(record.type) || record.header !== undefined || !isPlain(record)) return false;
  const beginning = contents(record, BEGINNING_BYTES);
  if (beginning.includes(0)) return true;
  const lines = beginning.subarray(0, wholeCharacters(beginning));
  const control = lines.filter((byte) => byte < 0x20 && !TEXT_CONTROLS.has(byte)).length;
  const strange = isUtf8(lines) ? control : control + lines.filter((byte) => byte >= 0x80).length;
  return strange > MAX_STRANGE_SHARE * lines.length;
}

/** Tab, the ends of lines, and what begins a colour. */
const TEXT_CONTROLS = new Set([0x09, 0x0a, 0x0d, 0x1b]);

/** That nothing reads a record as text, and how its bytes can be had. */
export function unreadableLine(record: RecordEntry): string {
  const { path, container, size, compressed, gzip } = record;
  const what = compressed || gzip === true ? "can't be decompressed" : "is no text";
  const line = `${path} ${what}: ${size} bytes`;
  // Slots of an ERST file have no path of their own.
  const isFile = container === undefined;
  return isFile ? `${line}; \`virtio-pstore show --raw\` of that file gives them` : line;
}

/** What a record holds behind its header, decompressed as a whole. Undefined where nothing reads it. */
function inflated(record: HeadedRecord): Inflated | undefined {
  if (record.size > (isDump(record.type) ? MAX_COMPRESSED_BYTES : MAX_STREAM_BYTES)) {
    return record.gzip === true ? { text: Buffer.alloc(0), ending: "too large" } : undefined;
  }
  const stored = contents(record, record.size);
  if (isPlain(record)) return { text: stored.subarray(record.headerBytes), ending: "whole" };
  // Nothing read its beginning.
  if (record.gzip !== true && record.header === undefined) return undefined;
  const decoded = record.gzip === true ? gunzip(stored, mostText(record)) : decompress(stored);
  if (decoded === undefined || (decoded.text.length === 0 && isDamaged(decoded))) {
    return undefined;
  }
  const first = isDump(record.type) ? parseHeader(decoded.text) : undefined;
  if (first === undefined) return decoded;
  const text = decoded.text.subarray(first.bytes);
  if (!mayHoldSeveral(record, first.header)) return { ...decoded, text };
  return { ...decoded, text, parts: new PutTogether(first.header, piecesOf(text)) };
}

const isDamaged = ({ ending }: Decoded): boolean => ending === "cut" || ending === "broken";

/** The same as plainParts(), of a record whose first header was read. */
function partsOf(record: HeadedRecord): PutTogether | undefined {
  const first = record.header && parseHeader(contents(record, record.headerBytes));
  return first === undefined ? undefined : plainParts(record, first);
}

/** Reads one record to its end. */
export function decodeRecord(record: RecordEntry): DecodedRecord {
  const headed = readHeader(record);
  if (isBinary(headed)) return { ...headed, textBytes: undefined };
  if (isPlain(headed) && !isRing(headed)) {
    const more = partsOf(headed)?.headerBytes ?? 0;
    return { ...headed, textBytes: record.size - headed.headerBytes - more };
  }
  const decoded = inflated(headed);
  const text = decoded === undefined ? undefined : textOf(headed, decoded);
  if (decoded === undefined || text === undefined) return { ...headed, textBytes: undefined };
  const { ending } = decoded;
  if (ending === "too large") return { ...headed, textBytes: undefined, ending };
  let textBytes = 0;
  for (const piece of text) if (typeof piece !== "string") textBytes += piece.length;
  return ending === "whole" ? { ...headed, textBytes } : { ...headed, textBytes, ending };
}

/**
 * A record's text in pieces, decompressed and without the header line; undefined where nothing reads it.
 * Notes of ours in it are strings, for notedText(): of lines that are lost, and where a compressed record is
 * damaged or too large, of which `onCut` is told.
 */
export function recordText(
  record: HeadedRecord,
  onCut: () => void = () => undefined,
): Iterable<Buffer | string> | undefined {
  if (isPlain(record) && !isRing(record)) {
    if (isBinary(record)) return undefined;
    const { source, headerBytes, size } = record;
    const read = (from: number, to: number) =>
      source.read(record, headerBytes + from, headerBytes + to);
    return partsOf(record)?.text(read) ?? read(0, size - headerBytes);
  }
  const decoded = inflated(record);
  const text = decoded === undefined ? undefined : textOf(record, decoded);
  if (decoded === undefined || text === undefined) return undefined;
  return decoded.ending === "whole" ? text : withEnding(record, decoded.ending, text, onCut);
}

function textOf(
  record: HeadedRecord,
  { text, parts }: Inflated,
): Iterable<Buffer | string> | undefined {
  if (isRing(record)) return ringText(text);
  return parts?.text((from, to) => piecesOf(text.subarray(from, to))) ?? piecesOf(text);
}

function* withEnding(
  record: HeadedRecord,
  ending: Exclude<Ending, "whole">,
  text: Iterable<Buffer | string>,
  onCut: () => void,
): Generator<Buffer | string, void, void> {
  onCut();
  if (ending === "too large") {
    const most = `${record.name} claims to hold more than ${mostText(record) >> 20} MiB`;
    yield note(`not shown: ${most}${record.gzip === true ? "; gunzip it to see it" : ""}`);
    return;
  }
  yield* text;
  const what = ending === "cut" ? "is cut short" : "is damaged";
  yield note(`the record ${what} here: the rest of its text is missing`);
}

/**
 * The same, with a note in place of what can't be read or decompressed; `onCut` is told that text is
 * missing, with the error if that is what reading ended with.
 */
export function* textOrNotes(
  record: HeadedRecord,
  onCut: (error?: unknown) => void,
): Generator<Buffer | string, void, void> {
  try {
    const text = recordText(record, onCut);
    if (text !== undefined) {
      yield* text;
      return;
    }
    onCut();
    yield note(unreadableLine(record));
  } catch (error) {
    onCut(error);
    // Also one that is removed at this moment: what the others hold is shown all the same.
    const reason = systemReason(error) ?? (error instanceof Error ? error.message : error);
    yield note(`${record.path} can't be read: ${reason}`);
  }
}

/** A record as it is stored, in pieces. */
export function recordBytes(record: RecordEntry): Iterable<Buffer> {
  return record.source.read(record, 0, record.size);
}
