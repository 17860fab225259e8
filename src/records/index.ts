// What a record is, for those that write records and for those that only read them: it loads nothing that writes.
export { HEADER_TEXTS, MAX_HEADER_BYTES, parseHeader, type RecordHeader } from "./dump-header.js";
export { readErased } from "./erased.js";
export { END_KINDS, ENDS_NAME, type EndKind, type GuestEnd, readEnds } from "./guest-end.js";
export { missingNote, notedText } from "./note.js";
export { linePieces } from "./pieces.js";
export { PrintablePieces, printable, printableJson, printableLine } from "./printable.js";
export type { OnSkipped, RecordEntry } from "./record.js";
export {
  compareRecords,
  type DumpTypeName,
  formatRecordName,
  isDump,
  isRecordType,
  isStream,
  parseRecordName,
  RECORD_TYPES,
  type RecordName,
  type RecordTypeName,
  recordKey,
  type StreamTypeName,
} from "./record-name.js";
export { dumpKey, isOfSameDump, LATE_MS, mayContinue } from "./same-dump.js";
export { MAX_SEGMENT_BYTES, readStreamIndex, type StreamSegment } from "./stream-segment.js";
export { isText } from "./text-name.js";
