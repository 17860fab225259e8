export {
  type DecodedRecord,
  decodeRecord,
  type HeadedRecord,
  readHeader,
  recordBytes,
  recordText,
} from "./decode.js";
export { type Dump, dumpText, groupDumps, joinDump } from "./dumps.js";
export { linePieces } from "./pieces.js";
export { printable } from "./printable.js";
export { findRecords, type RecordFile } from "./records.js";
