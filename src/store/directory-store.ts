import { gzipSync, constants as zlib } from "node:zlib";
import { type Bytes, copyOf, errno, errnoOf, SystemError } from "../os/index.js";
import type { GuestEnd } from "../records/guest-end.js";
import {
  type DumpTypeName,
  isStream,
  type RecordName,
  type RecordTypeName,
  recordKey,
  type StreamTypeName,
} from "../records/record-name.js";
import { InlineCommitter } from "./commit.js";
import { CurrentDirectory } from "./current-directory.js";
import { headerOf } from "./dump-headers.js";
import { DumpWriter } from "./dump-writer.js";
import { type Files, isSystemError, lengthOf, systemFiles } from "./files.js";
import { FreeSpace } from "./free-space.js";
import type { JournalEntry, RequestJournal } from "./journal/index.js";
import { DEFAULT_QUOTAS, type Quota } from "./quota.js";
import { RateLimiter } from "./rate-limit.js";
import { RefusedError } from "./refused-error.js";
import { storeError } from "./store-error.js";
import type { BatchResult, StoredRecord, StoreOptions } from "./store-options.js";
import { VisibleRecords } from "./visible-records.js";

/** A stream's data is synced so long after it was written, at the latest. */
const STREAM_SYNC_MS = 500;

/**
 * A guest whose boots end faster than the disk can sync their streams is refused: each of them holds
 * descriptors, and a place in the queue for the disk.
 */
const MAX_ENDING = 4;

/** The records of one guest, as files of one directory (see open-directory.ts). */
export class DirectoryStore {
  readonly directory: string;
  readonly #options: StoreOptions;
  readonly visible: VisibleRecords;
  /** The system calls that it makes. */
  readonly files: Files;
  readonly #limiter: RateLimiter;
  readonly #free: FreeSpace;
  readonly #current: CurrentDirectory;
  readonly #dumps: DumpWriter;
  #syncScheduled = false;
  #mustCommit = false;

  /** Opens or makes the directory. Throws StoreError. */
  constructor(directory: string, options: StoreOptions = {}) {
    this.directory = directory;
    this.#options = options;
    this.files = options.files ?? systemFiles;
    this.#limiter = new RateLimiter(options.rates ?? {}, options.rateLevels);
    this.#free = new FreeSpace(this.files, options.minFree ?? { bytes: 0, share: 0 });
    try {
      const committer = options.committer ?? new InlineCommitter(this.files);
      this.#current = new CurrentDirectory(directory, options, this.files, committer);
    } catch (error) {
      throw storeError(directory, error);
    }
    this.visible = new VisibleRecords(this.#current, options.isTurnOver ?? (() => false));
    this.#dumps = new DumpWriter(this.files);
    // What was erased before may not be synced, and whoever asks again is told that it is.
    this.#mustCommit = this.#current.storeDirectory.directory.erased.size > 0;
  }

  /**
   * Puts a dump's record into its file. It becomes visible and durable with commit(), whose result has
   * its errno at the place that is returned. Throws the system call's error, or RefusedError; then
   * nothing of the record stays.
   */
  write(
    type: DumpTypeName,
    compressed: boolean,
    data: readonly Bytes[],
    journal?: JournalEntry,
  ): number {
    try {
      const storeDirectory = this.#current.here();
      this.#expectRate(type, lengthOf(data));
      const gzip = this.#options.compress === true && !compressed;
      const bytes = gzip ? [deflated(data)] : data;
      this.#free.expect(this.directory, lengthOf(bytes));
      const header = headerOf({ compressed }, data);
      return this.#dumps.stage({ type, compressed, gzip, bytes, header }, storeDirectory, journal);
    } catch (error) {
      this.#tellRefused(type, data, error);
      throw error;
    }
  }

  /**
   * Appends to the current boot's stream; it is synced soon, and with the next dump at the latest. Throws
   * the system call's error, or RefusedError; then nothing of the data stays, and the stream says so
   * where it goes on.
   */
  append(type: StreamTypeName, data: readonly Bytes[], journal?: JournalEntry): void {
    try {
      if (this.#current.ending >= MAX_ENDING) {
        throw new SystemError("write", errno.EAGAIN, `${this.directory}: boots end too fast`);
      }
      const { streams } = this.#current.here();
      this.#expectRate(type, lengthOf(data));
      this.#free.expect(this.directory, lengthOf(data));
      streams.append(type, data, journal);
    } catch (error) {
      this.#current.storeDirectory.streams.miss(type, lengthOf(data));
      this.#tellRefused(type, data, error);
      throw error;
    }
    this.#scheduleSync();
  }

  /**
   * A boot of the guest begins, and the one before ends: streams go into files of their own. With the
   * id of a boot that was here before, be it before a restart of this process, its streams go on; so
   * they do where `journal` knows their files.
   */
  beginBoot(id?: string, journal?: RequestJournal): void {
    this.endBoot();
    const { streams } = this.#current.storeDirectory;
    streams.begin(id, journal);
    // What a former process appended may not be synced, and its journal says that it was done.
    if (streams.dirty) {
      this.#mustCommit = true;
      this.#scheduleSync();
    }
  }

  /** Completes the streams of the current boot. */
  endBoot(): void {
    this.#current.endBoot();
  }

  /**
   * Makes what was written and erased since the last call durable, then tells how it went. Streams
   * alone don't wait for the disk.
   */
  commit(done: (result: BatchResult) => void): void {
    if (!this.#mustCommit && this.#dumps.isEmpty) {
      done({ writes: [], rest: 0 });
      return;
    }
    this.#mustCommit = false;
    const staged = this.#dumps.take();
    this.#current.commit(staged, (result) => {
      const stored: StoredRecord[] = [];
      const writes = staged.map((record, i) =>
        this.#dumps.settle(record, result.records[i] ?? errno.EIO, stored),
      );
      // The guest waits; whoever is told of it doesn't.
      done({ writes, rest: result.rest });
      for (const record of stored) this.#options.onStored?.(record);
      this.#current.tellSyncError(result);
    });
  }

  /**
   * Finds out what has to make room for such data, so that write() or append() needn't; goes on until the turn is over,
   * and is false then. What is wrong with the directory these two tell.
   */
  isReadyFor(type: RecordTypeName, data: readonly Bytes[], compressed = false): boolean {
    try {
      const { quotas, streams } = this.#current.storeDirectory;
      const bytes = lengthOf(data);
      if (isStream(type)) {
        const into = streams.openPiece(type);
        return quotas.isReadyFor({ type, records: into === undefined ? 1 : 0, bytes, into });
      }
      const part = { compressed, timeMs: Date.now(), header: headerOf({ compressed }, data) };
      return quotas.isReadyFor({ type, records: 1, bytes, part });
    } catch (error) {
      if (isSystemError(error)) return true;
      throw error;
    }
  }

  /**
   * Hides a record from the guest, and removes its file where that was asked for; durable with
   * commit(). False where there is no such record. Throws the system call's error.
   */
  erase(type: RecordTypeName, id: bigint): boolean {
    const storeDirectory = this.#current.here();
    const { directory } = storeDirectory;
    const key = recordKey({ type, id });
    const entry = directory.table.get(key);
    if (entry === undefined || storeDirectory.isHidden(entry)) return false;
    const path = directory.pathOf(entry.name);
    if (this.files.lstat(path) === undefined) {
      directory.table.delete(key);
      return false;
    }
    if (this.#options.onErase === "remove") {
      try {
        this.files.unlink(path);
      } catch (error) {
        if (errnoOf(error) !== errno.ENOENT) throw error;
        directory.table.delete(key);
        return false;
      }
      directory.table.delete(key);
    } else {
      directory.setErased(key);
    }
    directory.namesChanged = true;
    this.#mustCommit = true;
    directory.prune();
    return true;
  }

  /**
   * Keeps how the guest's front-end went away; synced soon. Nothing where that is known already, as a process that
   * died may have kept it, or where the store is closed. Throws the system call's error.
   */
  noteEnd(end: GuestEnd): void {
    if (!this.#current.isOpen) return;
    const { directory } = this.#current.here();
    const { ends } = directory;
    if (ends.last?.connectedMs === end.connectedMs) return;
    ends.add(end);
    directory.namesChanged = true;
    this.#scheduleSync();
  }

  /** How the guest's last front-end went away. */
  get lastEnd(): GuestEnd | undefined {
    return this.#current.storeDirectory.directory.ends.last;
  }

  /** The log's record that came last of those that are there, and when it came. */
  get lastDump(): (RecordName & { readonly timeMs: number }) | undefined {
    const last = this.#current.storeDirectory.directory.table.last("dmesg");
    return last === undefined ? undefined : { ...last.name, timeMs: last.timeMs };
  }

  /** When something was last appended to a console that is there, in milliseconds since 1970. */
  get lastLineMs(): number | undefined {
    return this.#current.storeDirectory.directory.table.last("console")?.timeMs;
  }

  /** What the records of a type take, and may take. */
  usage(type: RecordTypeName): { readonly used: Quota; readonly quota: Quota } {
    const quotas = this.#options.quotas ?? DEFAULT_QUOTAS;
    return { used: this.#current.storeDirectory.directory.table.totals(type), quota: quotas[type] };
  }

  /** The id of the record that was stored last, whatever became of it. */
  get lastId(): bigint {
    return this.#current.storeDirectory.directory.next.id - 1n;
  }

  /** The dumps that were stored behind the record with this id. */
  dumpsAfter(id: bigint): StoredRecord[] {
    const { directory } = this.#current.storeDirectory;
    return directory.table
      .ofType("dmesg", "ftrace")
      .filter(({ name }) => name.id > id)
      .map(({ name, size }) => ({ ...name, size, path: directory.pathOf(name) }));
  }

  /** Syncs what is written, lets go of the directory and calls `done`. Nothing is staged. */
  close(done: () => void = () => undefined): void {
    this.#current.close(done);
  }

  #scheduleSync(): void {
    const { after } = this.#options;
    if (this.#syncScheduled || after === undefined) return;
    this.#syncScheduled = true;
    after(STREAM_SYNC_MS, () => {
      this.#syncScheduled = false;
      const { isOpen, storeDirectory } = this.#current;
      if (!isOpen || !(storeDirectory.streams.dirty || storeDirectory.directory.namesChanged))
        return;
      this.#current.commit([], (result) => {
        this.#current.tellSyncError(result);
      });
    });
  }

  #expectRate(type: RecordTypeName, bytes: number): void {
    if (this.#limiter.take(type, bytes)) return;
    throw new RefusedError("RATE", errno.EBUSY, `${type} exceeds its rate limit`);
  }

  #tellRefused(type: RecordTypeName, data: readonly Bytes[], error: unknown): void {
    if (error instanceof RefusedError) this.#options.onRefused?.(type, lengthOf(data), error);
  }
}

/** Copied first: the guest may go on changing its memory. Level 1: it is waiting. */
function deflated(data: readonly Bytes[]): Buffer {
  return gzipSync(copyOf(data), { level: zlib.Z_BEST_SPEED });
}
