export {
  type Commit,
  type CommitResult,
  type Committer,
  commit,
  inlineCommitter,
} from "./commit.js";
export {
  type BatchResult,
  DirectoryStore,
  type OnErase,
  type StoredRecord,
  StoreError,
  type StoreOptions,
} from "./directory-store.js";
export type { RecordContents } from "./read-record.js";
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
export { DEFAULT_ROOMS, type Room, type Rooms } from "./rooms.js";
export { readStreamIndex } from "./stream-index.js";
