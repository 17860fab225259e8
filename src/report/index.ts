export { type Dump, groupDumps, joinDump } from "./dumps.js";
export { printable } from "./printable.js";
export { type DecodedRecord, decodeRecord, findRecords, type RecordFile } from "./records.js";
