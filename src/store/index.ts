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
  type RecordContents,
  type StoredRecord,
  StoreError,
  type StoreOptions,
} from "./directory-store.js";
export {
  compareRecords,
  formatRecordName,
  parseRecordName,
  type RecordName,
  type RecordTypeName,
} from "./record-name.js";
