export { type Dump, groupDumps, isCutShort, joinDump } from "./dumps.js";
export { ConsoleFollower } from "./follow.js";
export type { RecordHeader } from "./header.js";
export { PrintablePieces, printable } from "./printable.js";
export { type DecodedRecord, decodeRecord, findRecords, type RecordFile } from "./records.js";
