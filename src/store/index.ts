export {
  type Commit,
  type CommitResult,
  type Committer,
  commit,
  InlineCommitter,
} from "./commit.js";
export { DirectoryStore } from "./directory-store.js";
export { makeDirectory, syncDirectory, systemFiles } from "./files.js";
export { DEFAULT_MIN_FREE, FreeSpace, type MinFree } from "./free-space.js";
export * from "./journal/index.js";
export { LineFile, OWN_FILE } from "./line-file.js";
export { DEFAULT_QUOTAS, type Quota, type Quotas } from "./quota.js";
export type { Dropped } from "./quota-limiter.js";
export { type Bound, DEFAULT_RATES, type Rate, RateLimiter, type Rates } from "./rate-limit.js";
export type { RecordContents } from "./read-record.js";
export { RefusedError } from "./refused-error.js";
export { errorText, StoreError } from "./store-error.js";
export type { BatchResult, OnErase, StoredRecord, StoreOptions } from "./store-options.js";
export type { Reading } from "./visible-records.js";
