import type { RecordName, RecordTypeName } from "../records/record-name.js";
import type { Committer } from "./commit.js";
import type { Files } from "./files.js";
import type { MinFree } from "./free-space.js";
import type { Quotas } from "./quota.js";
import type { Dropped } from "./quota-limiter.js";
import type { Rates } from "./rate-limit.js";
import type { RefusedError } from "./refused-error.js";

/** What ERASE does to the host's file. */
export type OnErase = "keep" | "remove";

/** A record that has just become durable. */
export interface StoredRecord extends RecordName {
  /** In bytes. */
  readonly size: number;
  readonly path: string;
}

/** What a store is opened with. */
export interface StoreOptions {
  readonly onErase?: OnErase;
  readonly committer?: Committer;
  /** Each type's own; DEFAULT_QUOTAS where not given. */
  readonly quotas?: Quotas;
  /** How fast they may come; as fast as they do where not given. */
  readonly rates?: Rates;
  /** RATE_LEVELS numbers that outlive this process; zeros where nothing came yet. */
  readonly rateLevels?: Float64Array | undefined;
  /** What is left free on the file system; nothing where not given. */
  readonly minFree?: MinFree;
  /** Dumps that the guest didn't compress are stored with gzip. */
  readonly compress?: boolean;
  /** Calls a function once, after so many milliseconds: streams are synced then. */
  readonly after?: (delayMs: number, task: () => void) => void;
  /** Whether the guest's turn has lasted long enough: what can wait is left to another. */
  readonly isTurnOver?: () => boolean;
  readonly onStored?: (record: StoredRecord) => void;
  /** Records had to make room for others. */
  readonly onDropped?: (dropped: Dropped) => void;
  /** Data wasn't taken because of a bound that the store keeps to. */
  readonly onRefused?: (type: RecordTypeName, bytes: number, why: RefusedError) => void;
  /** Data that was already acknowledged could not be synced. */
  readonly onSyncError?: (number: number) => void;
  /** Another directory has the name of the one that was used, and is used from now on. */
  readonly onMoved?: () => void;
  /** Likewise, but this process may not use it; where this returns, requests fail. */
  readonly onForbidden?: (number: number) => void;
  /** The system's where not given. */
  readonly files?: Files;
}

/** Whether each request of a batch is durable. */
export interface BatchResult {
  /** For each write() since the last commit(), in order: 0 or its errno. */
  readonly writes: readonly number[];
  /** For everything else: 0 or an errno. */
  readonly rest: number;
}
