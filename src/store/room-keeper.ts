import { errno, errnoOf } from "../native/index.js";
import { type DumpPart, dumpsBefore, dumpUnits } from "./dump-units.js";
import type { Files } from "./files.js";
import type { OpenDirectory } from "./open-directory.js";
import { isStream, type RecordTypeName } from "./record-name.js";
import { type RecordEntry, recordKey } from "./record-table.js";
import { RefusedError } from "./refused-error.js";
import { type RetentionOptions, toDrop } from "./retention.js";
import type { Rooms } from "./rooms.js";
import type { Streams } from "./streams.js";
import { type Unit, unitOf } from "./unit.js";

/** A full room is looked at anew so often: its owner may have removed files. A guest may ask at any rate. */
const SCAN_MS = 1000;

/** Records that went because their type's room was full. */
export interface Dropped {
  readonly type: RecordTypeName;
  /** The files' paths, oldest first. */
  readonly paths: readonly string[];
  readonly bytes: number;
}

/** What is to be stored. */
export interface Wanted {
  readonly type: RecordTypeName;
  /** New files. */
  readonly records: number;
  readonly bytes: number;
  /** Of a dump: the record, which is not in the table yet. */
  readonly part?: DumpPart;
}

export interface RoomKeeperOptions {
  readonly files: Files;
  readonly rooms: Rooms;
  readonly directory: OpenDirectory;
  readonly streams: Streams;
  /** Reads the directory as far as OpenDirectory's read(). */
  readonly read: (number: number, isTurnOver: () => boolean) => boolean;
  readonly onDropped: (dropped: Dropped) => void;
}

/** Keeps each type of a directory's records within its room. */
export class RoomKeeper {
  readonly #options: RoomKeeperOptions;
  #scannedMs = 0;

  constructor(options: RoomKeeperOptions) {
    this.#options = options;
  }

  /**
   * Finds room for more: what is returned makes it, and is to be called when the data is in a file, so
   * that nothing is dropped for what then can't be stored. Throws RefusedError where there is none.
   */
  find(wanted: Wanted): () => void {
    const { type } = wanted;
    if (this.#fits(wanted)) return () => undefined;
    if (performance.now() - this.#scannedMs > SCAN_MS) {
      this.#scannedMs = performance.now();
      this.#options.read(this.#options.directory.nextReading(), () => false);
      if (this.#fits(wanted)) return () => undefined;
    }
    // Over its bounds already: they are lower than they were, or what should have gone couldn't.
    if (!this.#fits({ type, records: 0, bytes: 0 })) {
      this.#drop(type, this.#plan(wanted));
      if (!this.#fits(wanted)) throw this.#full(type);
      return () => undefined;
    }
    const units = this.#plan(wanted);
    return () => {
      this.#drop(type, units);
    };
  }

  #fits({ type, records, bytes }: Wanted): boolean {
    const used = this.#options.directory.table.totals(type);
    const room = this.#options.rooms[type];
    return used.records + records <= room.records && used.bytes + bytes <= room.bytes;
  }

  #full(type: RecordTypeName): RefusedError {
    const { directory } = this.#options;
    const why = `${directory.path}: the room for ${type} is full`;
    return new RefusedError("ROOM", errno.ENOSPC, why);
  }

  #plan(wanted: Wanted): readonly Unit[] {
    const { type } = wanted;
    const { directory, rooms } = this.#options;
    const found = isStream(type)
      ? { units: this.#pieces(wanted), continued: undefined }
      : this.#dumps(wanted);
    const used = directory.table.totals(type);
    const units = toDrop({ ...found, room: rooms[type], used, needed: wanted });
    if (units === undefined) throw this.#full(type);
    return units;
  }

  /** Each file of a stream by itself. What begins a new one leaves the one that is open. */
  #pieces({ type, records }: Wanted): Unit[] {
    const { directory, streams } = this.#options;
    return directory.table.ofType(type).map((entry) => ({
      ...unitOf([entry]),
      busy: records === 0 && streams.isOpen(entry.name),
      stream: streams.firstOf(entry.name).id,
    }));
  }

  #dumps({ type, part }: Wanted): Pick<RetentionOptions, "units" | "continued"> {
    const { table, headers } = this.#options.directory;
    const parts = table.ofType(type).map((entry) => ({ entry, header: headers.get(entry.name) }));
    return part === undefined
      ? { units: dumpUnits(parts), continued: undefined }
      : dumpsBefore(parts, part);
  }

  #drop(type: RecordTypeName, units: readonly Unit[]): void {
    const { files, directory, onDropped } = this.#options;
    const gone: RecordEntry[] = [];
    for (const entry of units.flatMap((unit) => unit.records)) {
      try {
        files.unlink(directory.pathOf(entry.name));
      } catch (error) {
        // What can't be removed counts as it did, and is tried again when there is no room.
        if (errnoOf(error) !== errno.ENOENT) continue;
      }
      directory.table.delete(recordKey(entry.name));
      gone.push(entry);
    }
    if (gone.length === 0) return;
    onDropped({
      type,
      paths: gone.map(({ name }) => directory.pathOf(name)),
      bytes: gone.reduce((sum, { size }) => sum + size, 0),
    });
  }
}
