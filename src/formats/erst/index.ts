// Without copier.ts and qmp.ts, which only `erst watch` needs: they load the store and its libraries.
export { findDamage } from "./check.js";
export { CPER_NAME, type CperRecord, type CperSection, describeCper, parseCper } from "./cper.js";
export { ErstError, type ErstErrorCode } from "./errors.js";
export { ErstFile, type ErstSlot } from "./erst-file.js";
export { sectionName } from "./guid.js";
export type { ErstHeader } from "./header.js";
export { expectUnused, type FileUser, usersOf } from "./in-use.js";
export { type ErstRecordType, type Payload, payloadOf, timeOf } from "./pstore-record.js";
