export { Arrivals } from "./arrivals.js";
export { type BootStream, findStreams, streamText } from "./boot-streams.js";
export { CrashReader } from "./crash-reader.js";
export {
  type Crash,
  type CrashFacts,
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
export { findRecords } from "./find-records.js";
export { watchedFolders } from "./folders.js";
export { groupDumps } from "./group-dumps.js";
