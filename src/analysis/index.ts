export type { RecordHeader } from "../store/layout.js";
export { Arrivals } from "./arrivals.js";
export { type BootStream, findStreams, streamText } from "./boot-streams.js";
export { CrashReader } from "./crash-reader.js";
export {
  type Crash,
  type CrashFacts,
  erstFileOf,
  factsOf,
  findCrashes,
  guestOf,
  isQuiet,
  isSettled,
  ownRecords,
  QUIET_MS,
  type Related,
  relations,
  stemOf,
} from "./crashes.js";
export {
  type DecodedRecord,
  decodeRecord,
  type HeadedRecord,
  readHeader,
  recordBytes,
  recordText,
  unreadableLine,
} from "./decode.js";
export { type Dump, dumpText, isCutShort, missingParts } from "./dumps.js";
export { consolesOf, findEnds, type GuestEnded, type LastConsole } from "./ends.js";
export { isErstFile } from "./erst.js";
export { watchedFolders } from "./folders.js";
export { groupDumps } from "./group-dumps.js";
export { notedText } from "./note.js";
export { linePieces } from "./pieces.js";
export {
  PrintablePieces,
  printable,
  printableJson,
  printableLine,
  printableText,
} from "./printable.js";
export {
  findRecords,
  type RecordEntry,
  type RecordSource,
  type SourceTypeName,
} from "./records.js";
export { isText } from "./text-name.js";
