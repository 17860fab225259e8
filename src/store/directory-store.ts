import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync, constants as zlib } from "node:zlib";
import { errno, errnoOf, renameNew, SystemError, tryLock } from "../native/index.js";
import { type Commit, type Committer, inlineCommitter, type StagedRecord } from "./commit.js";
import { append, lengthOf, makeDirectory, tryUnlink } from "./files.js";
import { type RecordContents, readRecord } from "./read-record.js";
import {
  compareRecords,
  type DumpTypeName,
  formatRecordName,
  MAX_ID,
  parseRecordName,
  type RecordName,
  type RecordTypeName,
  type StreamTypeName,
} from "./record-name.js";
import { DEFAULT_ROOMS, type Rooms, Usage } from "./rooms.js";
import { type OpenStream, Streams } from "./streams.js";

/** Why a directory can't be used as a store; the message says what to do. */
export class StoreError extends Error {
  readonly code: "DIRECTORY_UNUSABLE" | "DIRECTORY_IN_USE";

  constructor(code: StoreError["code"], message: string) {
    super(message);
    this.name = "StoreError";
    this.code = code;
  }
}

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
  /** Each type's own; DEFAULT_ROOMS where not given. */
  readonly rooms?: Rooms;
  /** Dumps that the guest didn't compress are stored with gzip. */
  readonly compress?: boolean;
  /** Calls a function once, after so many milliseconds: streams are synced then. */
  readonly after?: (delayMs: number, task: () => void) => void;
  readonly onStored?: (record: StoredRecord) => void;
  /** Data that was already acknowledged could not be synced. */
  readonly onSyncError?: (number: number) => void;
}

/** Whether each request of a batch is durable. */
export interface BatchResult {
  /** For each write() since the last commit(), in order: 0 or its errno. */
  readonly writes: readonly number[];
  /** For everything else: 0 or an errno. */
  readonly rest: number;
}

type Staged = StagedRecord & { readonly stored: StoredRecord };

interface NextFile {
  readonly id: bigint;
  readonly fd: number;
  readonly path: string;
}

const NEXT_PREFIX = ".next-";
const NEXT_PATTERN = /^\.next-([1-9][0-9]{0,19})$/;
const ERASED_NAME = ".erased";

/** A stream's data is synced so long after it was written, at the latest. */
const STREAM_SYNC_MS = 500;

/** A full room is looked at anew so often: its owner may have removed files. A guest may ask at any rate. */
const ROOM_SCAN_MS = 1000;

/**
 * A guest whose boots end faster than the disk can sync their streams is refused: each of them holds
 * descriptors, and a place in the queue for the disk.
 */
const MAX_ENDING = 4;

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

const key = ({ type, id }: Pick<RecordName, "type" | "id">): string => `${type}-${id}`;

/**
 * The records of one guest, as files of one directory.
 *
 * `dmesg-1.enc.z`, `console-2`: a record (see record-name.ts). `.next-3`: the file that the next record
 * will be written into, under the id that it will get. It is made when the record before it is stored
 * and its name becomes durable with that record's, so an id is never given twice, even where the newest
 * record was removed; and the record after needs no new file at the time of the crash.
 * `.erased`: the records that the guest erased and the host keeps, one name a line.
 * `.streams`: which stream belongs to which boot of the guest (see stream-index.ts).
 */
export class DirectoryStore {
  readonly directory: string;
  readonly #options: StoreOptions;
  readonly #committer: Committer;
  readonly #directoryFd: number;
  readonly #records = new Map<string, RecordName>();
  readonly #erased = new Set<string>();
  #erasedFd: number | undefined;
  #nextId = 1n;
  #next: NextFile | undefined;
  readonly #streams: Streams;
  readonly #rooms: Rooms;
  readonly #usage: Usage;
  #scannedMs = 0;
  #syncScheduled = false;
  #staged: Staged[] = [];
  /** Written and not settled yet, whether a commit is under way or not. */
  readonly #pending = new Set<Staged>();
  /** Boots whose streams are still being synced. */
  #ending = 0;
  #erasedDirty = false;
  #namesChanged = false;
  #mustCommit = false;
  #open = true;

  /** Opens or makes the directory. Throws StoreError. */
  constructor(directory: string, options: StoreOptions = {}) {
    this.directory = directory;
    this.#options = options;
    this.#committer = options.committer ?? inlineCommitter;
    this.#rooms = options.rooms ?? DEFAULT_ROOMS;
    this.#usage = new Usage(this.#rooms);
    try {
      makeDirectory(resolve(directory));
      this.#directoryFd = openSync(directory, O_RDONLY | O_DIRECTORY);
    } catch (error) {
      throw unusable(directory, error);
    }
    try {
      if (!tryLock(this.#directoryFd)) {
        throw new StoreError(
          "DIRECTORY_IN_USE",
          `${directory} is used by another virtio-pstore process: end it, or name another directory`,
        );
      }
      this.#loadErased();
      this.#streams = this.#openStreams();
      this.#scan();
      this.#recoverNext();
      this.#prepareNext();
      fsyncSync(this.#directoryFd);
    } catch (error) {
      closeSync(this.#directoryFd);
      throw error instanceof StoreError ? error : unusable(directory, error);
    }
  }

  /**
   * Puts a dump's record into its file. It becomes visible and durable with commit(), whose result has
   * its errno at the place that is returned. Throws the system call's error; then nothing of the record
   * stays.
   */
  write(type: DumpTypeName, compressed: boolean, data: readonly Uint8Array[]): number {
    const gzip = this.#options.compress === true && !compressed;
    const stored = gzip ? [deflated(data)] : data;
    const size = lengthOf(stored);
    this.#expectRoom(type, 1, size);
    const next = this.#next ?? this.#prepareNext();
    append(next.fd, stored);
    const plain = { type, id: next.id, compressed };
    const name: RecordName = gzip ? { ...plain, gzip } : plain;
    const path = join(this.directory, formatRecordName(name));
    const staged: Staged = {
      fd: next.fd,
      temporaryPath: next.path,
      path,
      stored: { ...name, size, path },
    };
    this.#staged.push(staged);
    this.#pending.add(staged);
    this.#usage.add(type, 1, size);
    this.#mustCommit = true;
    this.#takeNext();
    return this.#staged.length - 1;
  }

  /** Appends to the current boot's stream; it is synced soon, and with the next dump at the latest. */
  append(type: StreamTypeName, data: readonly Uint8Array[]): void {
    if (this.#ending >= MAX_ENDING) {
      throw new SystemError("write", errno.EAGAIN, `${this.directory}: boots end too fast`);
    }
    this.#streams.append(type, data, lengthOf(data));
    this.#scheduleSync();
  }

  /**
   * A boot of the guest begins, and the one before ends: streams go into files of their own. With the
   * id of a boot that was here before, be it before a restart of this process, its streams go on.
   */
  beginBoot(id?: string): void {
    this.endBoot();
    this.#streams.begin(id);
  }

  /** Completes the streams of the current boot. */
  endBoot(): void {
    const { streams, dirty } = this.#streams.end();
    if (streams.length === 0) return;
    for (const { name } of streams) this.#records.set(key(name), name);
    const commit = { records: [], appended: dirty, directory: this.#directoryFd };
    this.#ending++;
    this.#committer.run(commit, ({ rest }) => {
      this.#ending--;
      for (const { fd } of streams) closeSync(fd);
      if (rest !== 0) this.#options.onSyncError?.(rest);
    });
  }

  /**
   * Makes what was written and erased since the last call durable, then tells how it went. Streams
   * alone don't wait for the disk.
   */
  commit(done: (result: BatchResult) => void): void {
    if (!this.#mustCommit) {
      done({ writes: [], rest: 0 });
      return;
    }
    this.#mustCommit = false;
    const staged = this.#staged;
    this.#staged = [];
    this.#committer.run(this.#batch(staged), (result) => {
      const stored: StoredRecord[] = [];
      const writes = staged.map((record, i) =>
        this.#settle(record, result.records[i] ?? errno.EIO, stored),
      );
      // The guest waits; whoever is told of it doesn't.
      done({ writes, rest: result.rest });
      for (const record of stored) this.#options.onStored?.(record);
      if (result.rest !== 0) this.#options.onSyncError?.(result.rest);
    });
  }

  /**
   * The records that the guest is shown, oldest first: all but those it erased and the streams of
   * the current boot. Read anew from the directory, whose owner may add and remove files.
   */
  records(types: readonly RecordTypeName[]): RecordName[] {
    this.#scan();
    return [...this.#records.values()]
      .filter((record) => types.includes(record.type) && !this.#isHidden(record))
      .sort(compareRecords);
  }

  /**
   * A record's contents, at most `room` bytes: of text the newest, of a compressed record the first.
   * Undefined where it isn't there (any more). Throws the system call's error.
   */
  read(record: RecordName, room: number): RecordContents | undefined {
    if (this.#isHidden(record)) return undefined;
    return readRecord(this.#path(record), record, room);
  }

  /**
   * Hides a record from the guest, and removes its file where that was asked for; durable with
   * commit(). False where there is no such record. Throws the system call's error.
   */
  erase(type: RecordTypeName, id: bigint): boolean {
    const record = this.#records.get(key({ type, id }));
    if (record === undefined || this.#isHidden(record)) return false;
    const found = lstatSync(this.#path(record), { throwIfNoEntry: false });
    if (found === undefined) {
      this.#records.delete(key(record));
      return false;
    }
    if (this.#options.onErase === "remove") {
      this.#records.delete(key(record));
      try {
        unlinkSync(this.#path(record));
      } catch (error) {
        if (errnoOf(error) === errno.ENOENT) return false;
        this.#records.set(key(record), record);
        throw error;
      }
      this.#usage.add(type, -1, -found.size);
      this.#namesChanged = true;
    } else {
      this.#erasedFd ??= openSync(
        join(this.directory, ERASED_NAME),
        O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW,
        0o600,
      );
      append(this.#erasedFd, [Buffer.from(`${key(record)}\n`)]);
      this.#erased.add(key(record));
      this.#erasedDirty = true;
      this.#namesChanged = true;
    }
    this.#mustCommit = true;
    return true;
  }

  /** Syncs what is written, lets go of the directory and calls `done`. Nothing is staged. */
  close(done: () => void = () => undefined): void {
    if (!this.#open) {
      done();
      return;
    }
    this.#open = false;
    // Where this failed before: without the file an id could be given again.
    if (this.#next === undefined) this.#tryPrepareNext();
    this.#committer.run(this.#batch([]), ({ rest }) => {
      if (rest !== 0) this.#options.onSyncError?.(rest);
      const { streams } = this.#streams.end();
      const files = [this.#next?.fd, this.#erasedFd, this.#directoryFd];
      for (const fd of files) if (fd !== undefined) closeSync(fd);
      for (const { fd } of streams) closeSync(fd);
      this.#streams.close();
      this.#next = undefined;
      this.#erasedFd = undefined;
      done();
    });
  }

  /**
   * Ends a staged record with what its commit said, and returns the errno that the guest is told. A
   * record that is durable is put into `done`.
   */
  #settle(staged: Staged, result: number, done: StoredRecord[]): number {
    let { stored } = staged;
    this.#pending.delete(staged);
    try {
      if (result === errno.EEXIST) stored = this.#storeUnderNewId(staged);
      else if (result !== 0) throw new SystemError("commit", result, stored.path);
    } catch (error) {
      tryUnlink(staged.temporaryPath);
      this.#usage.add(stored.type, -1, -stored.size);
      return errnoOf(error);
    }
    this.#records.set(key(stored), stored);
    done.push(stored);
    return 0;
  }

  /** Somebody put a file of the same name into the directory since the id was chosen. */
  #storeUnderNewId({ temporaryPath, stored }: Staged): StoredRecord {
    this.#scan();
    const name: RecordName = { ...stored, id: this.#nextId };
    const path = this.#path(name);
    renameNew(temporaryPath, path);
    this.#skipTo(name.id + 1n);
    fsyncSync(this.#directoryFd);
    return { ...name, size: stored.size, path };
  }

  #path(record: RecordName): string {
    return join(this.directory, formatRecordName(record));
  }

  #isHidden(record: RecordName): boolean {
    return this.#erased.has(key(record)) || this.#streams.isCurrent(record);
  }

  /** All that has to be durable before what is staged may be acknowledged. */
  #batch(records: readonly StagedRecord[]): Commit {
    const appended = this.#streams.takeDirty();
    if (this.#erasedDirty && this.#erasedFd !== undefined) appended.push(this.#erasedFd);
    const directory = this.#namesChanged || records.length > 0 ? this.#directoryFd : undefined;
    this.#erasedDirty = false;
    this.#namesChanged = false;
    return { records, appended, directory };
  }

  #scheduleSync(): void {
    const { after } = this.#options;
    if (this.#syncScheduled || after === undefined) return;
    this.#syncScheduled = true;
    after(STREAM_SYNC_MS, () => {
      this.#syncScheduled = false;
      this.#sync();
    });
  }

  #sync(): void {
    if (!this.#streams.dirty && !this.#namesChanged) return;
    this.#committer.run(this.#batch([]), ({ rest }) => {
      if (rest !== 0) this.#options.onSyncError?.(rest);
    });
  }

  #openStreams(): Streams {
    return new Streams({
      directory: this.directory,
      begin: (type) => this.#beginStream(type),
      retire: ({ fd }) => {
        this.#committer.run({ records: [], appended: [], directory: undefined }, () => {
          closeSync(fd);
        });
      },
      isErased: (record) => this.#erased.has(key(record)),
      expectRoom: (type, records, bytes) => {
        this.#expectRoom(type, records, bytes);
      },
      grew: (type, bytes) => {
        this.#usage.add(type, 0, bytes);
      },
      mostBytes: (type) => this.#rooms[type].recordBytes,
    });
  }

  #beginStream(type: StreamTypeName): OpenStream {
    const begin = () => {
      const { id, fd, path } = this.#next ?? this.#prepareNext();
      const name: RecordName = { type, id, compressed: false };
      renameNew(path, this.#path(name));
      this.#takeNext();
      this.#usage.add(type, 1, 0);
      return { name, fd };
    };
    try {
      return begin();
    } catch (error) {
      if (errnoOf(error) !== errno.EEXIST) throw error;
      // Somebody put a file of the same name into the directory since the id was chosen.
      this.#scan();
      return begin();
    }
  }

  /** Throws ENOSPC where so much more is beyond the type's room. */
  #expectRoom(type: RecordTypeName, records: number, bytes: number): void {
    if (this.#usage.hasRoom(type, records, bytes)) return;
    if (performance.now() - this.#scannedMs > ROOM_SCAN_MS) this.#scan();
    if (this.#usage.hasRoom(type, records, bytes)) return;
    throw new SystemError("write", errno.ENOSPC, `${this.directory}: the room for ${type} is full`);
  }

  /** The prepared file is in use: prepares another. */
  #takeNext(): void {
    this.#next = undefined;
    this.#nextId++;
    this.#tryPrepareNext();
  }

  /** Ids below `id` are taken. The prepared file goes when the one that remembers that is there. */
  #skipTo(id: bigint): void {
    const former = this.#next;
    this.#next = undefined;
    this.#nextId = id;
    if (former === undefined) return;
    this.#tryPrepareNext();
    closeSync(former.fd);
    if (this.#next !== undefined) tryUnlink(former.path);
  }

  /** Where it fails, the next write is told. */
  #tryPrepareNext(): void {
    this.#namesChanged = true;
    try {
      this.#prepareNext();
    } catch (error) {
      if (!(error instanceof Error && "errno" in error)) throw error;
    }
  }

  #prepareNext(): NextFile {
    const id = this.#nextId;
    const path = join(this.directory, `${NEXT_PREFIX}${id}`);
    if (id > MAX_ID) throw new SystemError("open", errno.EOVERFLOW, path);
    const fd = openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) throw new SystemError("open", errno.EEXIST, path);
      if (found.size > 0) ftruncateSync(fd, 0);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#next = { id, fd, path };
    return this.#next;
  }

  /** Reads the directory anew. A record put there by hand may have the id that was to come next. */
  #scan(): void {
    const entries = readdirSync(this.directory, { withFileTypes: true });
    this.#scannedMs = performance.now();
    this.#records.clear();
    this.#usage.clear();
    let newest = 0n;
    for (const entry of entries) {
      const record = parseRecordName(entry.name);
      if (record === undefined) continue;
      // Whatever has a record's name takes its id; only a file is a record.
      if (record.id > newest) newest = record.id;
      if (!entry.isFile()) continue;
      this.#records.set(key(record), record);
      const { size } = lstatSync(this.#path(record), { throwIfNoEntry: false }) ?? { size: 0 };
      this.#usage.add(record.type, 1, size);
    }
    for (const { stored } of this.#pending) {
      if (!this.#records.has(key(stored))) this.#usage.add(stored.type, 1, stored.size);
    }
    if (newest < this.#nextId) return;
    this.#skipTo(newest + 1n);
  }

  /** `.next-N` is what a former process left: N is the next id. Others are writes that never ended. */
  #recoverNext(): void {
    const left = readdirSync(this.directory).filter((name) => NEXT_PATTERN.test(name));
    for (const name of left) {
      const id = BigInt(name.slice(NEXT_PREFIX.length));
      if (id > this.#nextId && id <= MAX_ID) this.#nextId = id;
    }
    for (const name of left) {
      if (name !== `${NEXT_PREFIX}${this.#nextId}`) tryUnlink(join(this.directory, name));
    }
  }

  #loadErased(): void {
    let fd: number;
    try {
      fd = openSync(join(this.directory, ERASED_NAME), O_RDWR | O_APPEND | O_NOFOLLOW);
    } catch (error) {
      if (errnoOf(error) === errno.ENOENT) return;
      throw error;
    }
    this.#erasedFd = fd;
    const text = readFileSync(fd, "latin1");
    const whole = text.lastIndexOf("\n") + 1;
    // A name cut off by a crash: its request was never answered.
    if (whole < text.length) ftruncateSync(fd, whole);
    for (const line of text.slice(0, whole).split("\n")) {
      if (line === "") continue;
      this.#erased.add(line);
      // Were its id given again, the new record would be hidden.
      const { id } = parseRecordName(line) ?? { id: 0n };
      if (id >= this.#nextId) this.#nextId = id + 1n;
    }
  }
}

const ADVICE = new Map([
  [errno.ENOSPC, "make room"],
  [errno.EDQUOT, "make room"],
  [errno.EMFILE, "raise the limit of open files (ulimit -n)"],
  [errno.ENOLCK, "its file system has no locks: use a local one"],
]);

function unusable(directory: string, error: unknown): StoreError {
  const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const advice = ADVICE.get(errnoOf(error)) ?? "it must be a directory this user may write to";
  return new StoreError(
    "DIRECTORY_UNUSABLE",
    `${directory} can't be used for records (${reason}): ${advice}`,
  );
}

/** Copied first: the guest may go on changing its memory. Level 1: it is waiting. */
function deflated(data: readonly Uint8Array[]): Buffer {
  return gzipSync(Buffer.concat(data), { level: zlib.Z_BEST_SPEED });
}
