import { errno, errnoOf } from "../os/index.js";
import { type RecordTypeName, recordKey } from "../records/record-name.js";
import { type Files, isSystemError } from "./files.js";
import type { OpenDirectory } from "./open-directory.js";
import type { RecordGroup } from "./record-group.js";
import type { TableEntry } from "./record-table.js";
import { RefusedError } from "./refused-error.js";
import { Retention, type Wanted } from "./retention.js";
import { fits, type Rooms, sum } from "./rooms.js";

/** For a full room the directory is read so often: its owner may have removed files. A guest may ask at any rate. */
const READ_MS = 1000;

/** Records that went because their type's room was full. */
export interface Dropped {
  readonly type: RecordTypeName;
  /** The files' paths, oldest first. */
  readonly paths: readonly string[];
  readonly bytes: number;
}

export interface RoomLimiterOptions {
  readonly files: Files;
  readonly rooms: Rooms;
  readonly directory: OpenDirectory;
  /** Whether the guest's turn has lasted long enough. */
  readonly isTurnOver: () => boolean;
  /** Does something in another turn. */
  readonly later: (task: () => void) => void;
  readonly onDropped: (dropped: Dropped) => void;
}

/** What goes of one type. */
interface Eviction {
  readonly retention: Retention;
  /** Records of groups that were chosen, whose files are still there. */
  going: TableEntry[];
}

/** Keeps each type of a directory's records within its room. */
export class RoomLimiter {
  readonly #options: RoomLimiterOptions;
  readonly #evictions = new Map<RecordTypeName, Eviction>();
  #readMs = 0;
  /** The reading that a full room waits for. */
  #reading: number | undefined;

  constructor(options: RoomLimiterOptions) {
    this.#options = options;
  }

  /** As prepare(), but false where the turn is over before. */
  isReadyFor(wanted: Wanted): boolean {
    return this.#prepare(wanted, this.#options.isTurnOver);
  }

  /** Has find() know all that it needs. Throws the system call's error. */
  prepare(wanted: Wanted): void {
    this.#prepare(wanted, () => false);
  }

  /**
   * Finds room for more; prepare() comes before. The function that is returned makes the room: it is to be called when
   * the data is in a file, so that nothing is dropped for what then can't be stored. Throws RefusedError where there is none.
   */
  find(wanted: Wanted): () => void {
    const { type } = wanted;
    if (this.#fits(wanted)) return () => undefined;
    // Over its bounds already: they are lower than they were, or what should have gone couldn't.
    if (!this.#fits({ type, records: 0, bytes: 0 })) {
      this.#drop(type, this.#plan(wanted), wanted);
      if (!this.#fits(wanted)) throw this.#full(type);
      return () => undefined;
    }
    const groups = this.#plan(wanted);
    return () => {
      this.#drop(type, groups, { type, records: 0, bytes: 0 });
    };
  }

  #prepare(wanted: Wanted, isTurnOver: () => boolean): boolean {
    if (this.#fits(wanted)) return true;
    const { directory } = this.#options;
    if (this.#reading === undefined && performance.now() - this.#readMs > READ_MS) {
      this.#readMs = performance.now();
      this.#reading = directory.nextReading();
    }
    if (this.#reading !== undefined) {
      if (!directory.read(this.#reading, isTurnOver)) return false;
      this.#reading = undefined;
      if (this.#fits(wanted)) return true;
    }
    return this.#of(wanted.type).retention.catchUp(isTurnOver);
  }

  #of(type: RecordTypeName): Eviction {
    let eviction = this.#evictions.get(type);
    if (eviction === undefined) {
      const { directory, rooms } = this.#options;
      eviction = { retention: new Retention(type, directory, rooms[type]), going: [] };
      this.#evictions.set(type, eviction);
    }
    return eviction;
  }

  #fits(wanted: Wanted): boolean {
    const used = this.#options.directory.table.totals(wanted.type);
    return fits(sum(used, wanted), this.#options.rooms[wanted.type]);
  }

  #full(type: RecordTypeName): RefusedError {
    const { directory } = this.#options;
    const why = `${directory.path}: the room for ${type} is full`;
    return new RefusedError("ROOM", errno.ENOSPC, why);
  }

  /** What has to go beside what is going. */
  #plan(wanted: Wanted): readonly RecordGroup[] {
    const { type } = wanted;
    const { retention, going } = this.#of(type);
    let { records, bytes } = this.#options.directory.table.totals(type);
    for (const { size } of going) {
      records--;
      bytes -= size;
    }
    const groups = retention.toEvict(wanted, { records, bytes });
    if (groups === undefined) throw this.#full(type);
    return groups;
  }

  /** Removes these groups' records, at once as many as have to go so that what is wanted fits. */
  #drop(type: RecordTypeName, groups: readonly RecordGroup[], wanted: Wanted): void {
    const eviction = this.#of(type);
    eviction.retention.evict(groups);
    eviction.going = [...eviction.going, ...groups.flatMap(({ entries }) => entries)];
    this.#removeGoing(type, eviction, () => !this.#fits(wanted));
  }

  /** Goes on while it must, and until the turn is over. */
  #removeGoing(type: RecordTypeName, eviction: Eviction, must: (done: number) => boolean): void {
    const { files, directory, isTurnOver, onDropped, later } = this.#options;
    const gone: TableEntry[] = [];
    let done = 0;
    for (const entry of eviction.going) {
      if (!must(done) && isTurnOver()) break;
      done++;
      try {
        files.unlink(directory.pathOf(entry.name));
      } catch (error) {
        // What can't be removed counts as it did, and is tried again when there is no room.
        if (errnoOf(error) !== errno.ENOENT) {
          eviction.retention.forget();
          continue;
        }
      }
      directory.table.delete(recordKey(entry.name));
      gone.push(entry);
    }
    eviction.going = eviction.going.slice(done);
    if (eviction.going.length > 0) {
      later(() => {
        if (this.#isInPlace()) this.#removeGoing(type, eviction, (before) => before === 0);
      });
    }
    if (gone.length === 0) return;
    directory.namesChanged = true;
    onDropped({
      type,
      paths: gone.map(({ name }) => directory.pathOf(name)),
      bytes: gone.reduce((sum, { size }) => sum + size, 0),
    });
  }

  /** Otherwise a file of the same name is another directory's. */
  #isInPlace(): boolean {
    try {
      return this.#options.directory.isInPlace();
    } catch (error) {
      if (isSystemError(error)) return false;
      throw error;
    }
  }
}
