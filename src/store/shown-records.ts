import {
  type RecordName,
  type RecordPlace,
  type RecordTypeName,
  recordKey,
} from "../records/record-name.js";
import type { CurrentDirectory } from "./current-directory.js";
import type { Place } from "./place.js";
import { type RecordContents, readRecord } from "./read-record.js";
import type { TableEntry } from "./record-table.js";

/** A reading of the directory, as far as a request needs it. */
export interface Reading {
  readonly place: Place;
  readonly number: number;
}

/** The records that the guest is shown. */
export class ShownRecords {
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
    const place = this.#current.here();
    const { directory } = place;
    directory.read(directory.nextReading(), () => false);
    return directory.table
      .ofType(...types)
      .filter((entry) => !place.isHidden(entry))
      .map(({ name }) => name);
  }

  /** The reading that isRead() waits for: it has all that has changed in the directory until now. */
  get reading(): Reading {
    const place = this.#current.here();
    return { place, number: place.directory.nextReading() };
  }

  /**
   * Whether firstShown() and lastShown() know what had changed in the directory; goes on with reading it until the
   * turn is over. Throws the system call's error.
   */
  isRead({ place, number }: Reading): boolean {
    // Another directory in its place was read whole.
    return this.#current.here() !== place || place.directory.read(number, this.#isTurnOver);
  }

  /** The first of the records that the guest is shown which is behind `after`; undefined where there is none. */
  firstShown(
    types: readonly RecordTypeName[],
    after: RecordPlace | undefined,
  ): RecordName | undefined {
    const place = this.#current.here();
    return place.directory.table.firstShown(after, this.#isShownOf(types, place))?.name;
  }

  /** The last of them. */
  lastShown(types: readonly RecordTypeName[]): RecordName | undefined {
    const place = this.#current.here();
    return place.directory.table.lastShown(this.#isShownOf(types, place))?.name;
  }

  /**
   * A record's contents, at most `room` bytes: of text the newest, of a compressed record the first.
   * Undefined where it isn't there (any more). Throws the system call's error.
   */
  read(record: RecordName, room: number): RecordContents | undefined {
    const place = this.#current.here();
    if (place.isHidden({ name: record })) return undefined;
    return readRecord(place.directory.pathOf(record), record, room);
  }

  /** Whether the guest is shown such a record. */
  isShown(type: RecordTypeName, id: bigint): boolean {
    const place = this.#current.here();
    const entry = place.directory.table.get(recordKey({ type, id }));
    return entry !== undefined && !place.isHidden(entry);
  }

  /** Whether the guest is shown an entry of these types; the table leaves out what was erased. */
  #isShownOf(types: readonly RecordTypeName[], { streams }: Place): (entry: TableEntry) => boolean {
    return ({ name, pending }) =>
      types.includes(name.type) && pending !== true && !streams.isCurrent(name);
  }
}
