import { gzipSync, constants as zlib } from "node:zlib";
import { type Bytes, copyOf, errno, errnoOf, SystemError } from "../os/index.js";
import type { GuestEnd } from "../records/guest-end.js";
import {
  type DumpTypeName,
  isStream,
  type RecordName,
  type RecordPlace,
  type RecordTypeName,
  recordKey,
  type StreamTypeName,
} from "../records/record-name.js";
import {
  type Commit,
  type CommitResult,
  type Committer,
  InlineCommitter,
  type StagedRecord,
} from "./commit.js";
import { headerOf } from "./dump-headers.js";
import { type Files, isSystemError, lengthOf, systemFiles, tryUnlink } from "./files.js";
import { FreeSpace } from "./free-space.js";
import type { JournalEntry, RequestJournal } from "./journal/index.js";
import { Place } from "./place.js";
import { RateLimiter } from "./rate-limit.js";
import { type RecordContents, readRecord } from "./read-record.js";
import type { TableEntry } from "./record-table.js";
import { RefusedError } from "./refused-error.js";
import { DEFAULT_ROOMS, type Room } from "./rooms.js";
import {
  type BatchResult,
  type StoredRecord,
  type StoreOptions,
  storeError,
} from "./store-options.js";

interface Staged extends StagedRecord {
  readonly inode: number;
  readonly journal: JournalEntry | undefined;
  readonly mayBeLast: boolean;
  readonly stored: StoredRecord;
  readonly entry: TableEntry;
  readonly place: Place;
}

/** A reading of the directory, as far as a request needs it. */
export interface Reading {
  readonly place: Place;
  readonly number: number;
}

/** A stream's data is synced so long after it was written, at the latest. */
const STREAM_SYNC_MS = 500;

/**
 * A guest whose boots end faster than the disk can sync their streams is refused: each of them holds
 * descriptors, and a place in the queue for the disk.
 */
const MAX_ENDING = 4;

/** The reason of a dump that a guest goes on after. */
const OOPS = "Oops";

/** What a process is told that may not use a directory, be it by the directory's mode or because it is confined. */
const MAY_NOT: readonly number[] = [errno.EACCES, errno.EPERM, errno.EROFS];

/** The records of one guest, as files of one directory (see open-directory.ts). */
export class DirectoryStore {
  readonly directory: string;
  readonly #options: StoreOptions;
  /** The system calls that it makes. */
  readonly files: Files;
  readonly #committer: Committer;
  readonly #limiter: RateLimiter;
  readonly #free: FreeSpace;
  readonly #isTurnOver: () => boolean;
  #place: Place;
  #syncScheduled = false;
  #staged: Staged[] = [];
  /** Boots whose streams are still being synced. */
  #ending = 0;
  #mustCommit = false;
  #open = true;

  /** Opens or makes the directory. Throws StoreError. */
  constructor(directory: string, options: StoreOptions = {}) {
    this.directory = directory;
    this.#options = options;
    this.files = options.files ?? systemFiles;
    this.#committer = options.committer ?? new InlineCommitter(this.files);
    this.#limiter = new RateLimiter(options.rates ?? {}, options.rateLevels);
    this.#isTurnOver = options.isTurnOver ?? (() => false);
    this.#free = new FreeSpace(this.files, options.minFree ?? { bytes: 0, share: 0 });
    try {
      this.#place = this.#openPlace(1n);
    } catch (error) {
      throw storeError(directory, error);
    }
    // What was erased before may not be synced, and whoever asks again is told that it is.
    this.#mustCommit = this.#place.directory.erased.size > 0;
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
      return this.#stage(type, compressed, data, journal);
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
      if (this.#ending >= MAX_ENDING) {
        throw new SystemError("write", errno.EAGAIN, `${this.directory}: boots end too fast`);
      }
      const { streams } = this.#here();
      this.#expectRate(type, lengthOf(data));
      this.#free.expect(this.directory, lengthOf(data));
      streams.append(type, data, journal);
    } catch (error) {
      this.#place.streams.miss(type, lengthOf(data));
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
    this.#place.streams.begin(id, journal);
  }

  /** Completes the streams of the current boot. */
  endBoot(): void {
    this.#endStreams(this.#place);
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
    this.#run(staged, (result) => {
      const stored: StoredRecord[] = [];
      const writes = staged.map((record, i) =>
        this.#settle(record, result.records[i] ?? errno.EIO, stored),
      );
      // The guest waits; whoever is told of it doesn't.
      done({ writes, rest: result.rest });
      for (const record of stored) this.#options.onStored?.(record);
      this.#tellSyncError(result);
    });
  }

  /**
   * Finds out what has to make room for so much more of a type, so that write() or append() needn't; goes on
   * until the turn is over, and is false then. What is wrong with the directory these two tell.
   */
  isReadyFor(type: RecordTypeName, bytes: number): boolean {
    try {
      const { rooms, streams } = this.#place;
      const into = isStream(type) ? streams.openPiece(type) : undefined;
      return rooms.isReadyFor({ type, records: into === undefined ? 1 : 0, bytes, into });
    } catch (error) {
      if (isSystemError(error)) return true;
      throw error;
    }
  }

  /**
   * The records that the guest is shown, oldest first: all but those it erased and the streams of
   * the current boot, and those that the directory's owner added or removed, too.
   */
  records(types: readonly RecordTypeName[]): RecordName[] {
    const place = this.#here();
    place.directory.read(place.directory.nextReading(), () => false);
    return place.directory.table
      .ofType(...types)
      .filter((entry) => !place.isHidden(entry))
      .map(({ name }) => name);
  }

  /** For isRead(): what has changed in the directory until now. */
  get reading(): Reading {
    const place = this.#here();
    return { place, number: place.directory.nextReading() };
  }

  /**
   * Whether firstShown() and lastShown() know what had changed in the directory; goes on with reading it until the
   * turn is over. Throws the system call's error.
   */
  isRead({ place, number }: Reading): boolean {
    // Another directory in its place was read whole.
    return this.#here() !== place || place.directory.read(number, this.#isTurnOver);
  }

  /** The first of the records that the guest is shown which is behind `after`; undefined where there is none. */
  firstShown(
    types: readonly RecordTypeName[],
    after: RecordPlace | undefined,
  ): RecordName | undefined {
    const place = this.#here();
    return place.directory.table.firstShown(after, this.#isShownOf(types, place))?.name;
  }

  /** The last of them. */
  lastShown(types: readonly RecordTypeName[]): RecordName | undefined {
    const place = this.#here();
    return place.directory.table.lastShown(this.#isShownOf(types, place))?.name;
  }

  /**
   * A record's contents, at most `room` bytes: of text the newest, of a compressed record the first.
   * Undefined where it isn't there (any more). Throws the system call's error.
   */
  read(record: RecordName, room: number): RecordContents | undefined {
    const place = this.#here();
    if (place.isHidden({ name: record })) return undefined;
    return readRecord(place.directory.pathOf(record), record, room);
  }

  /**
   * Hides a record from the guest, and removes its file where that was asked for; durable with
   * commit(). False where there is no such record. Throws the system call's error.
   */
  erase(type: RecordTypeName, id: bigint): boolean {
    const place = this.#here();
    const { directory } = place;
    const key = recordKey({ type, id });
    const entry = directory.table.get(key);
    if (entry === undefined || place.isHidden(entry)) return false;
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
      place.directory.setErased(key);
    }
    place.directory.namesChanged = true;
    this.#mustCommit = true;
    place.directory.prune();
    return true;
  }

  /**
   * Keeps how the guest's front-end went away; synced soon. Nothing where that is known already, as a process that
   * died may have kept it, or where the store is closed. Throws the system call's error.
   */
  noteEnd(end: GuestEnd): void {
    if (!this.#open) return;
    const place = this.#here();
    const { ends } = place.directory;
    if (ends.last?.connectedMs === end.connectedMs) return;
    ends.add(end);
    place.directory.namesChanged = true;
    this.#scheduleSync();
  }

  /** How the guest's last front-end went away. */
  get lastEnd(): GuestEnd | undefined {
    return this.#place.directory.ends.last;
  }

  /** The log's record that came last of those that are there, and when it came. */
  get lastDump(): (RecordName & { readonly timeMs: number }) | undefined {
    const last = this.#place.directory.table.last("dmesg");
    return last === undefined ? undefined : { ...last.name, timeMs: last.timeMs };
  }

  /** When something was last appended to a console that is there, in milliseconds since 1970. */
  get lastLineMs(): number | undefined {
    return this.#place.directory.table.last("console")?.timeMs;
  }

  /** What the records of a type take, and may take. */
  usage(type: RecordTypeName): { readonly used: Room; readonly room: Room } {
    const rooms = this.#options.rooms ?? DEFAULT_ROOMS;
    return { used: this.#place.directory.table.totals(type), room: rooms[type] };
  }

  /** The id of the record that was stored last, whatever became of it. */
  get lastId(): bigint {
    return this.#place.directory.next.id - 1n;
  }

  /** The dumps that were stored behind the record with this id. */
  dumpsAfter(id: bigint): StoredRecord[] {
    const { directory } = this.#place;
    return directory.table
      .ofType("dmesg", "ftrace")
      .filter(({ name }) => name.id > id)
      .map(({ name, size }) => ({ ...name, size, path: directory.pathOf(name) }));
  }

  /** Whether the guest is shown such a record. */
  isShown(type: RecordTypeName, id: bigint): boolean {
    const place = this.#here();
    const entry = place.directory.table.get(recordKey({ type, id }));
    return entry !== undefined && !place.isHidden(entry);
  }

  /** Syncs what is written, lets go of the directory and calls `done`. Nothing is staged. */
  close(done: () => void = () => undefined): void {
    if (!this.#open) {
      done();
      return;
    }
    this.#open = false;
    // Where this failed before: without the file an id could be given again.
    this.#place.directory.next.tryPrepare();
    this.#leave(this.#place, done);
  }

  #stage(
    type: DumpTypeName,
    compressed: boolean,
    data: readonly Bytes[],
    journal: JournalEntry | undefined,
  ): number {
    const place = this.#here();
    const { next, table, headers } = place.directory;
    const gzip = this.#options.compress === true && !compressed;
    this.#expectRate(type, lengthOf(data));
    const bytes = gzip ? [deflated(data)] : data;
    const size = lengthOf(bytes);
    this.#free.expect(this.directory, size);
    // Reading a full directory may give the next record another id.
    place.rooms.prepare({ type, records: 1, bytes: size });
    const prepared = next.get();
    const plain = { type, id: prepared.id, compressed };
    const name: RecordName = gzip ? { ...plain, gzip } : plain;
    const entry: TableEntry = { name, size, timeMs: Date.now(), pending: true };
    const header = headerOf(name, data);
    const part = { compressed, timeMs: entry.timeMs, header };
    const makeRoom = place.rooms.find({ type, records: 1, bytes: size, part });
    try {
      prepared.file.append(bytes);
    } catch (error) {
      next.spoil();
      throw error;
    }
    const path = place.directory.pathOf(name);
    const mayBeLast = type === "dmesg" && header?.reason !== OOPS;
    const staged: Staged = {
      fd: prepared.file.fd,
      temporaryPath: prepared.path,
      path,
      stored: { ...name, size, path },
      inode: prepared.inode,
      journal,
      mayBeLast,
      entry,
      place,
    };
    journal?.naming(name, prepared.inode, mayBeLast);
    this.#staged.push(staged);
    headers.note(name, header);
    table.set(entry);
    this.#mustCommit = true;
    place.directory.takeNext();
    makeRoom();
    return this.#staged.length - 1;
  }

  /** Of what isn't erased. */
  #isShownOf(types: readonly RecordTypeName[], { streams }: Place): (entry: TableEntry) => boolean {
    return ({ name, pending }) =>
      types.includes(name.type) && pending !== true && !streams.isCurrent(name);
  }

  /** The directory of our name as it is now. Throws the system call's error. */
  #here(): Place {
    const former = this.#place;
    if (former.directory.isInPlace()) return former;
    try {
      // Ids go on from where they were: what is under way has names of its own in either directory.
      this.#place = this.#openPlace(former.directory.next.id);
    } catch (error) {
      const number = errnoOf(error);
      if (MAY_NOT.includes(number)) this.#options.onForbidden?.(number);
      throw error;
    }
    const { boot, journal } = former.streams;
    this.#leave(former);
    this.#place.streams.begin(boot, journal);
    this.#options.onMoved?.();
    return this.#place;
  }

  #openPlace(firstId: bigint): Place {
    return new Place({
      files: this.files,
      path: this.directory,
      firstId,
      rooms: this.#options.rooms ?? DEFAULT_ROOMS,
      retire: (fd) => {
        this.#close([fd]);
      },
      isTurnOver: this.#isTurnOver,
      later: (task) => {
        this.#options.after?.(0, () => {
          if (this.#open) task();
        });
      },
      onDropped: (dropped) => this.#options.onDropped?.(dropped),
    });
  }

  /**
   * Ends a staged record with what its commit said, and returns the errno that the guest is told. A
   * record that is durable is put into `done`.
   */
  #settle(staged: Staged, result: number, done: StoredRecord[]): number {
    const { place, entry } = staged;
    const { table } = place.directory;
    try {
      let { stored } = staged;
      if (result === errno.EEXIST) {
        table.delete(recordKey(entry.name));
        stored = this.#storeUnderNewId(staged);
      } else if (result !== 0) throw new SystemError("commit", result, stored.path);
      table.set(entryOf(stored));
      done.push(stored);
      return 0;
    } catch (error) {
      table.delete(recordKey(entry.name));
      tryUnlink(this.files, staged.temporaryPath);
      // Its name is there, only nobody knows whether it outlives a crash of the host.
      if (this.#isThere(staged.path)) table.set(entryOf(staged.stored));
      return errnoOf(error);
    }
  }

  #isThere(path: string): boolean {
    try {
      return this.files.lstat(path) !== undefined;
    } catch {
      return false;
    }
  }

  /** Somebody put a file of the same name into the directory since the id was chosen. */
  #storeUnderNewId(staged: Staged): StoredRecord {
    const { temporaryPath, stored, place, inode, journal, mayBeLast } = staged;
    const { directory } = place;
    place.directory.readAnew();
    const name: RecordName = { ...stored, id: directory.next.id };
    const path = directory.pathOf(name);
    journal?.naming(name, inode, mayBeLast);
    this.files.renameNew(temporaryPath, path);
    directory.next.skipTo(name.id + 1n);
    this.files.sync(directory.fd);
    return { ...name, size: stored.size, path };
  }

  #endStreams({ directory, streams }: Place): void {
    const { sync, close } = streams.end();
    if (sync.length + close.length === 0) return;
    this.#ending++;
    this.#committer.run({ records: [], appended: sync, directory: directory.fd }, (result) => {
      this.#ending--;
      for (const fd of close) this.files.close(fd);
      this.#tellSyncError(result);
    });
  }

  /** Syncs and closes all that belongs to a directory, behind what is under way. */
  #leave({ directory, streams }: Place, done: () => void = () => undefined): void {
    const { sync, close } = streams.end();
    const appended = [...sync, ...directory.erased.takeDirty(), ...directory.ends.takeDirty()];
    const fds = [...close, ...directory.end()];
    this.#committer.run({ records: [], appended, directory: directory.fd }, (result) => {
      for (const fd of fds) this.files.close(fd);
      this.#tellSyncError(result);
      done();
    });
  }

  /** Closes what a commit that is under way may still use. */
  #close(fds: readonly number[]): void {
    this.#committer.run({ records: [], appended: [], directory: undefined }, () => {
      for (const fd of fds) this.files.close(fd);
    });
  }

  /** Commits all that has to be durable before what is staged may be acknowledged. */
  #run(records: readonly StagedRecord[], done: (result: CommitResult) => void): void {
    const place = this.#place;
    const { directory, streams } = place;
    const { sync, close } = streams.take();
    const batch: Commit = {
      records,
      appended: [...sync, ...directory.erased.takeDirty(), ...directory.ends.takeDirty()],
      directory: place.directory.namesChanged || records.length > 0 ? directory.fd : undefined,
    };
    place.directory.namesChanged = false;
    this.#committer.run(batch, (result) => {
      for (const fd of close) this.files.close(fd);
      // Whatever it was that failed: the directory is synced again with the next commit.
      if (result.rest !== 0) place.directory.namesChanged = true;
      done(result);
    });
  }

  #scheduleSync(): void {
    const { after } = this.#options;
    if (this.#syncScheduled || after === undefined) return;
    this.#syncScheduled = true;
    after(STREAM_SYNC_MS, () => {
      this.#syncScheduled = false;
      if (!this.#open || !(this.#place.streams.dirty || this.#place.directory.namesChanged)) return;
      this.#run([], (result) => {
        this.#tellSyncError(result);
      });
    });
  }

  #expectRate(type: RecordTypeName, bytes: number): void {
    if (this.#limiter.take(type, bytes)) return;
    throw new RefusedError("RATE", errno.EBUSY, `${type} comes faster than is taken`);
  }

  #tellRefused(type: RecordTypeName, data: readonly Bytes[], error: unknown): void {
    if (error instanceof RefusedError) this.#options.onRefused?.(type, lengthOf(data), error);
  }

  #tellSyncError({ rest }: CommitResult): void {
    if (rest !== 0) this.#options.onSyncError?.(rest);
  }
}

const entryOf = ({ size, path, ...name }: StoredRecord): TableEntry => ({
  name,
  size,
  timeMs: Date.now(),
});

/** Copied first: the guest may go on changing its memory. Level 1: it is waiting. */
function deflated(data: readonly Bytes[]): Buffer {
  return gzipSync(copyOf(data), { level: zlib.Z_BEST_SPEED });
}
