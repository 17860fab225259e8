import { errno, errnoOf } from "../os/index.js";
import { type RecordTypeName, recordKey } from "../records/record-name.js";
import { type Files, isSystemError } from "./files.js";
import type { OpenDirectory } from "./open-directory.js";
import { fits, type Quotas, sum } from "./quota.js";
import type { RecordGroup } from "./record-group.js";
import type { TableEntry } from "./record-table.js";
import { RefusedError } from "./refused-error.js";
import { Retention, type Wanted } from "./retention.js";

/** For a full quota the directory is read so often: its owner may have removed files. A guest may ask at any rate. */
const READ_MS = 1000;

/** So many groups are chosen at once where a quota is exceeded: it may be any number of them. */
const GROUPS_AT_ONCE = 64;

/** Records that went because their type's quota was full. */
export interface Dropped {
  readonly type: RecordTypeName;
  /** The files' paths, oldest first. */
  readonly paths: readonly string[];
  readonly bytes: number;
}

export interface QuotaLimiterOptions {
  readonly files: Files;
  readonly quotas: Quotas;
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
  /** Another turn goes on with them. */
  isScheduled: boolean;
}

/** Keeps each type of a directory's records within its quota. */
export class QuotaLimiter {
  readonly #options: QuotaLimiterOptions;
  readonly #evictions = new Map<RecordTypeName, Eviction>();
  #readMs = 0;
  /** The reading that a full quota waits for. */
  #reading: number | undefined;

  constructor(options: QuotaLimiterOptions) {
    this.#options = options;
  }

  /** As prepare(), but false where the turn is over before. */
  isReadyFor(wanted: Wanted): boolean {
    return this.#prepare(wanted, this.#options.isTurnOver);
  }

  /**
   * Has find() know all that it needs. Where the quota's bounds are lower than they were, or what had to go isn't gone yet,
   * that goes now. Throws the system call's error, or RefusedError.
   */
  prepare(wanted: Wanted): void {
    this.#prepare(wanted, () => false);
  }

  /**
   * Finds room for more; prepare() comes before. The function that is returned makes the room: it is to be called when
   * the data is in a file, so that nothing is dropped for what then can't be stored. What it can't make in this turn, it
   * makes in others. Throws RefusedError where there is none.
   */
  find(wanted: Wanted): () => void {
    const { type } = wanted;
    if (this.#fits(wanted)) return () => undefined;
    // What should have gone couldn't.
    if (!this.#isWithin(type)) throw this.#full(type);
    const groups = this.#plan(wanted);
    return () => {
      this.#evict(type, groups);
      this.#remove(type, this.#options.isTurnOver);
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
    const { type } = wanted;
    if (!this.#of(type).retention.catchUp(isTurnOver)) return false;
    while (!this.#isWithin(type)) {
      if (this.#of(type).going.length === 0) {
        this.#evict(type, this.#plan(wanted, GROUPS_AT_ONCE));
      }
      // Where none can be removed, find() says that there is no room.
      if (this.#remove(type, isTurnOver) === 0) break;
      if (isTurnOver()) return this.#isWithin(type);
    }
    return true;
  }

  #of(type: RecordTypeName): Eviction {
    let eviction = this.#evictions.get(type);
    if (eviction === undefined) {
      const { directory, quotas } = this.#options;
      eviction = {
        retention: new Retention(type, directory, quotas[type]),
        going: [],
        isScheduled: false,
      };
      this.#evictions.set(type, eviction);
    }
    return eviction;
  }

  #isWithin(type: RecordTypeName): boolean {
    return this.#fits({ type, records: 0, bytes: 0 });
  }

  #fits(wanted: Wanted): boolean {
    const used = this.#options.directory.table.totals(wanted.type);
    return fits(sum(used, wanted), this.#options.quotas[wanted.type]);
  }

  #full(type: RecordTypeName): RefusedError {
    const { directory } = this.#options;
    const why = `${directory.path}: the quota for ${type} is used up`;
    return new RefusedError("QUOTA", errno.ENOSPC, why);
  }

  /** What has to go beside what is going. */
  #plan(wanted: Wanted, most?: number): readonly RecordGroup[] {
    const { type } = wanted;
    const { retention, going } = this.#of(type);
    let { records, bytes } = this.#options.directory.table.totals(type);
    for (const { size } of going) {
      records--;
      bytes -= size;
    }
    const groups = retention.toEvict(wanted, { records, bytes }, most);
    if (groups === undefined) throw this.#full(type);
    return groups;
  }

  #evict(type: RecordTypeName, groups: readonly RecordGroup[]): void {
    const eviction = this.#of(type);
    eviction.retention.evict(groups);
    eviction.going.push(...groups.flatMap(({ entries }) => entries));
  }

  /** Removes what is going, at least one, until the turn is over; other turns go on. Returns how many are gone. */
  #remove(type: RecordTypeName, isTurnOver: () => boolean): number {
    const { files, directory, onDropped } = this.#options;
    const eviction = this.#of(type);
    const gone: TableEntry[] = [];
    let done = 0;
    for (const entry of eviction.going) {
      if (done > 0 && isTurnOver()) break;
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
    eviction.going.splice(0, done);
    this.#schedule(type, eviction);
    if (gone.length === 0) return 0;
    directory.namesChanged = true;
    onDropped({
      type,
      paths: gone.map(({ name }) => directory.pathOf(name)),
      bytes: gone.reduce((sum, { size }) => sum + size, 0),
    });
    return gone.length;
  }

  #schedule(type: RecordTypeName, eviction: Eviction): void {
    if (eviction.going.length === 0 || eviction.isScheduled) return;
    eviction.isScheduled = true;
    this.#options.later(() => {
      eviction.isScheduled = false;
      if (this.#isInPlace()) this.#remove(type, this.#options.isTurnOver);
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
