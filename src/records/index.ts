// What a record is, for those that write records and for those that only read them: it loads nothing that writes.
export { HEADER_TEXTS, MAX_HEADER_BYTES, parseHeader, type RecordHeader } from "./dump-header.js";
export { ERASED_NAME, MAX_ERASED_BYTES, readErased } from "./erased.js";
export {
  END_KINDS,
  ENDS_NAME,
  type EndKind,
  formatEnd,
  type GuestEnd,
  MAX_ENDS_BYTES,
  newestEnds,
  parseEnd,
  readEnds,
} from "./guest-end.js";
export { missingNote, missingPartsNote, note, notedText, ownLine } from "./note.js";
export { filePieces, linePieces, piecesOf, wholeCharacters } from "./pieces.js";
export {
  PrintablePieces,
  printable,
  printableJson,
  printableLine,
  printableText,
} from "./printable.js";
export { familyOf, parseEfiName, parsePstorefsName } from "./pstorefs-name.js";
export {
  keyOf,
  type OnSkipped,
  type RecordEntry,
  type RecordSource,
  type SourceTypeName,
} from "./record.js";
export {
  compareRecords,
  type DumpTypeName,
  formatRecordName,
  isDump,
  isRecordType,
  isStream,
  MAX_ID,
  parseRecordName,
  RECORD_TYPES,
  type RecordName,
  type RecordPlace,
  type RecordTypeName,
  recordKey,
  type StreamTypeName,
} from "./record-name.js";
export { dumpKey, isOfSameDump, LATE_MS, mayContinue } from "./same-dump.js";
export {
  formatLine,
  MAX_INDEX_BYTES,
  MAX_PIECE_BYTES,
  parseLine,
  readStreamIndex,
  STREAMS_NAME,
  type StreamPiece,
} from "./stream-piece.js";
export { isText, parseTextName } from "./text-name.js";
