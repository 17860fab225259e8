import {
  type RecordName,
  type RecordPosition,
  type RecordTypeName,
  recordKey,
} from "../records/record-name.js";
import type { CurrentDirectory } from "./current-directory.js";
import { type RecordContents, readRecord } from "./read-record.js";
import type { TableEntry } from "./record-table.js";
import type { StoreDirectory } from "./store-directory.js";

/** A reading of the directory, as far as a request needs it. */
export interface Reading {
  readonly storeDirectory: StoreDirectory;
  readonly number: number;
}

/** The records that the guest is shown. */
export class VisibleRecords {
  readonly #current: CurrentDirectory;
  readonly #isTurnOver: () => boolean;

  constructor(current: CurrentDirectory, isTurnOver: () => boolean) {
    this.#current = current;
    this.#isTurnOver = isTurnOver;
  }

  /**
   * The records of these types, oldest first, as the directory's owner leaves them. The guest isn't shown those that it
   * erased, nor the streams of its current boot.
   */
  records(types: readonly RecordTypeName[]): RecordName[] {
    const storeDirectory = this.#current.here();
    const { directory } = storeDirectory;
    directory.read(directory.nextReading(), () => false);
    return directory.table
      .ofType(...types)
      .filter((entry) => !storeDirectory.isHidden(entry))
      .map(({ name }) => name);
  }

  /** The reading that isRead() waits for: it has all that has changed in the directory until now. */
  get reading(): Reading {
    const storeDirectory = this.#current.here();
    return { storeDirectory, number: storeDirectory.directory.nextReading() };
  }

  /**
   * Whether firstVisible() and lastVisible() know what had changed in the directory; goes on with reading it until the
   * turn is over. Throws the system call's error.
   */
  isRead({ storeDirectory, number }: Reading): boolean {
    // Another directory in its place was read whole.
    return (
      this.#current.here() !== storeDirectory ||
      storeDirectory.directory.read(number, this.#isTurnOver)
    );
  }

  /** The first of the records that the guest is shown which is behind `after`; undefined where there is none. */
  firstVisible(
    types: readonly RecordTypeName[],
    after: RecordPosition | undefined,
  ): RecordName | undefined {
    const storeDirectory = this.#current.here();
    return storeDirectory.directory.table.firstVisible(
      after,
      this.#isVisibleOf(types, storeDirectory),
    )?.name;
  }

  /** The last of them. */
  lastVisible(types: readonly RecordTypeName[]): RecordName | undefined {
    const storeDirectory = this.#current.here();
    return storeDirectory.directory.table.lastVisible(this.#isVisibleOf(types, storeDirectory))
      ?.name;
  }

  /**
   * A record's contents, at most `room` bytes: of text the newest, of a compressed record the first.
   * Undefined where it isn't there (any more). Throws the system call's error.
   */
  read(record: RecordName, room: number): RecordContents | undefined {
    const storeDirectory = this.#current.here();
    if (storeDirectory.isHidden({ name: record })) return undefined;
    return readRecord(storeDirectory.directory.pathOf(record), record, room);
  }

  /** Whether the guest is shown such a record. */
  isVisible(type: RecordTypeName, id: bigint): boolean {
    const storeDirectory = this.#current.here();
    const entry = storeDirectory.directory.table.get(recordKey({ type, id }));
    return entry !== undefined && !storeDirectory.isHidden(entry);
  }

  /** Whether the guest is shown an entry of these types; the table leaves out what was erased. */
  #isVisibleOf(
    types: readonly RecordTypeName[],
    { streams }: StoreDirectory,
  ): (entry: TableEntry) => boolean {
    return ({ name, pending }) =>
      types.includes(name.type) && pending !== true && !streams.isCurrent(name);
  }
}
