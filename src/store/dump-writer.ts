import { type Bytes, errno, errnoOf, SystemError } from "../os/index.js";
import type { RecordHeader } from "../records/dump-header.js";
import { type DumpTypeName, type RecordName, recordKey } from "../records/record-name.js";
import type { StagedRecord } from "./commit.js";
import { type Files, lengthOf, tryUnlink } from "./files.js";
import type { JournalEntry } from "./journal/index.js";
import type { TableEntry } from "./record-table.js";
import type { StoreDirectory } from "./store-directory.js";
import type { StoredRecord } from "./store-options.js";

/** The reason of a dump that a guest goes on after. */
const OOPS = "Oops";

/** A dump's record that comes. */
export interface NewDump {
  readonly type: DumpTypeName;
  /** By the guest. */
  readonly compressed: boolean;
  /** By us: `bytes` are. */
  readonly gzip: boolean;
  readonly bytes: readonly Bytes[];
  readonly header: RecordHeader | undefined;
}

/** A record in its file, which waits for its commit. */
export interface StagedDump extends StagedRecord {
  readonly inode: number;
  readonly journal: JournalEntry | undefined;
  readonly mayBeLast: boolean;
  readonly stored: StoredRecord;
  readonly entry: TableEntry;
  readonly storeDirectory: StoreDirectory;
}

/** Puts dumps into their files, and gives them their names where a commit didn't. */
export class DumpWriter {
  readonly #files: Files;
  #staged: StagedDump[] = [];

  constructor(files: Files) {
    this.#files = files;
  }

  /**
   * Puts a record into its file, and returns its place among those that are staged. Throws the system call's error, or
   * RefusedError; then nothing of the record stays.
   */
  stage(dump: NewDump, storeDirectory: StoreDirectory, journal: JournalEntry | undefined): number {
    const { type, compressed, gzip, bytes, header } = dump;
    const { directory, quotas } = storeDirectory;
    const { next, table, headers } = directory;
    const size = lengthOf(bytes);
    const timeMs = Date.now();
    const wanted = { type, records: 1, bytes: size, part: { compressed, timeMs, header } };
    // Reading a full directory may give the next record another id.
    quotas.prepare(wanted);
    const prepared = next.get();
    const plain = { type, id: prepared.id, compressed };
    const name: RecordName = gzip ? { ...plain, gzip } : plain;
    const entry: TableEntry = { name, size, timeMs, pending: true };
    const makeRoom = quotas.find(wanted);
    try {
      prepared.file.append(bytes);
    } catch (error) {
      next.spoil();
      throw error;
    }
    const path = directory.pathOf(name);
    const mayBeLast = type === "dmesg" && header?.reason !== OOPS;
    const staged: StagedDump = {
      fd: prepared.file.fd,
      temporaryPath: prepared.path,
      path,
      stored: { ...name, size, path },
      inode: prepared.inode,
      journal,
      mayBeLast,
      entry,
      storeDirectory,
    };
    journal?.naming(name, prepared.inode, mayBeLast);
    this.#staged.push(staged);
    headers.note(name, header);
    table.set(entry);
    directory.takeNext();
    makeRoom();
    return this.#staged.length - 1;
  }

  /** None is staged. */
  get isEmpty(): boolean {
    return this.#staged.length === 0;
  }

  /** Those that are staged, for a commit. */
  take(): readonly StagedDump[] {
    return this.#staged.splice(0);
  }

  /**
   * Ends a staged record with what its commit said, and returns the errno that the guest is told. A
   * record that is durable is put into `done`.
   */
  settle(staged: StagedDump, result: number, done: StoredRecord[]): number {
    const { storeDirectory, entry } = staged;
    const { table } = storeDirectory.directory;
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
      tryUnlink(this.#files, staged.temporaryPath);
      // A record that has its name counts, though it may not outlive a crash of the host.
      if (this.#isThere(staged.path)) table.set(entryOf(staged.stored));
      return errnoOf(error);
    }
  }

  #isThere(path: string): boolean {
    try {
      return this.#files.lstat(path) !== undefined;
    } catch {
      return false;
    }
  }

  /** Somebody put a file of the same name into the directory since the id was chosen. */
  #storeUnderNewId(staged: StagedDump): StoredRecord {
    const { temporaryPath, stored, storeDirectory, inode, journal, mayBeLast } = staged;
    const { directory } = storeDirectory;
    directory.readAnew();
    const name: RecordName = { ...stored, id: directory.next.id };
    const path = directory.pathOf(name);
    journal?.naming(name, inode, mayBeLast);
    this.#files.renameNew(temporaryPath, path);
    directory.next.skipTo(name.id + 1n);
    this.#files.sync(directory.fd);
    return { ...name, size: stored.size, path };
  }
}

const entryOf = ({ size, path, ...name }: StoredRecord): TableEntry => ({
  name,
  size,
  timeMs: Date.now(),
});
