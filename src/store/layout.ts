// What lies in a directory of records, for those that only read it: it loads nothing that writes.
export { HEADER_TEXTS, MAX_HEADER_BYTES, parseHeader, type RecordHeader } from "./dump-header.js";
export { isOfSameDump, LATE_MS, mayContinue, placeOf } from "./dump-units.js";
export { END_KINDS, ENDS_NAME, type EndKind, type GuestEnd, readEnds } from "./guest-end.js";
export {
  compareRecords,
  type DumpTypeName,
  formatRecordName,
  isDump,
  isStream,
  parseRecordName,
  RECORD_TYPES,
  type RecordName,
  type RecordTypeName,
  type StreamTypeName,
} from "./record-name.js";
export { MAX_PIECE_BYTES, missingNote, readStreamIndex, type StreamPiece } from "./stream-piece.js";
