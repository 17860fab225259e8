import {
  isStream,
  parseRecordName,
  type RecordPlace,
  type RecordTypeName,
  recordKey,
} from "../records/record-name.js";
import { DumpGrouper, type DumpPart } from "./dump-units.js";
import type { OpenDirectory } from "./open-directory.js";
import type { TableEntry, Totals } from "./record-table.js";
import { Retention } from "./retention.js";
import type { Room } from "./rooms.js";
import type { Streams } from "./streams.js";
import { Unit } from "./unit.js";

/** More changes than there are records, by so many, are more work than to begin anew. */
const MANY_CHANGES = 1000;

/** What is to be stored. */
export interface Wanted {
  readonly type: RecordTypeName;
  /** New files. */
  readonly records: number;
  readonly bytes: number;
  /** Of a dump: the record, which is not in the table yet. */
  readonly part?: DumpPart;
}

/** The units of one type's records in a directory. They are made when they are needed, and then follow its table. */
export class UnitIndex {
  readonly #type: RecordTypeName;
  readonly #directory: OpenDirectory;
  readonly #streams: Streams;
  readonly #units = new Map<string, Unit>();
  readonly #busy = new Set<Unit>();
  #retention = new Retention();
  #grouper = new DumpGrouper();
  /** The newest record that is in a unit. */
  #at: RecordPlace | undefined;
  #isBuilt = false;
  /** Records that were set or deleted since. */
  readonly #changed = new Set<string>();

  constructor(type: RecordTypeName, directory: OpenDirectory, streams: Streams) {
    this.#type = type;
    this.#directory = directory;
    this.#streams = streams;
    this.forget();
    directory.table.watch((key, of) => {
      const isBegun = this.#isBuilt || this.#at !== undefined;
      if (of !== type || !isBegun) return;
      this.#changed.add(key);
      if (this.#changed.size > directory.table.size + MANY_CHANGES) this.forget();
    });
  }

  /** Goes on until the units are those that there are; false where the turn is over before. */
  catchUp(isTurnOver: () => boolean): boolean {
    const { table } = this.#directory;
    while (!this.#isBuilt) {
      const entry = table.after(this.#at);
      if (entry === undefined) this.#isBuilt = true;
      else this.#append(entry);
      if (isTurnOver()) return false;
    }
    for (const key of this.#changed) {
      this.#changed.delete(key);
      if (!this.#update(key)) {
        this.forget();
        return this.catchUp(isTurnOver);
      }
      if (isTurnOver()) return false;
    }
    return true;
  }

  /** As Retention's toDrop(), for what catchUp() knows. */
  toDrop(wanted: Wanted, room: Room, used: Totals): (() => Unit[]) | undefined {
    const { part } = wanted;
    const continued = part === undefined ? [] : this.#grouper.continued(part);
    const busy = [...this.#busy, ...this.#openPiece(wanted)];
    const drop = this.#retention.toDrop({ room, used, needed: wanted, continued, busy });
    if (drop === undefined) return undefined;
    return () => {
      const units = drop();
      for (const unit of units) this.#grouper.remove(unit);
      return units;
    };
  }

  /** Begins anew. */
  forget(): void {
    this.#units.clear();
    this.#busy.clear();
    this.#changed.clear();
    this.#grouper = new DumpGrouper();
    this.#retention = new Retention((first, rest) => {
      this.#grouper.split(first, rest);
      for (const { name } of rest.records) this.#units.set(recordKey(name), rest);
    });
    this.#at = undefined;
    this.#isBuilt = false;
  }

  /** The file of a stream that is appended to. What begins a new one leaves it. */
  #openPiece({ type, records }: Wanted): Unit[] {
    const name = isStream(type) && records === 0 ? this.#streams.openPiece(type) : undefined;
    const unit = name === undefined ? undefined : this.#units.get(recordKey(name));
    return unit === undefined ? [] : [unit];
  }

  /** A record that is newer than all that are known, or of another type. */
  #append(entry: TableEntry): void {
    const { name } = entry;
    this.#at = name;
    if (name.type !== this.#type) return;
    const unit = isStream(name.type)
      ? new Unit([entry], this.#streams.firstOf(name).id)
      : this.#grouper.add({ entry, header: this.#directory.headers.get(name) });
    if (unit.records.length === 1) this.#retention.add(unit);
    this.#units.set(recordKey(name), unit);
    this.#noteBusy(unit);
  }

  /** False where a record came that isn't newer than those before it. */
  #update(key: string): boolean {
    const entry = this.#directory.table.get(key);
    const unit = this.#units.get(key);
    if (unit === undefined) {
      if (entry === undefined) return true;
      if (this.#at !== undefined && entry.name.id <= this.#at.id) return false;
      this.#append(entry);
      return true;
    }
    const id = parseRecordName(key)?.id;
    if (id !== undefined) unit.replace(id, entry);
    if (entry === undefined) this.#units.delete(key);
    if (unit.records.length === 0) {
      this.#retention.remove(unit);
      this.#grouper.remove(unit);
      this.#busy.delete(unit);
      return true;
    }
    this.#retention.changed(unit);
    this.#noteBusy(unit);
    return true;
  }

  #noteBusy(unit: Unit): void {
    if (unit.isPending) this.#busy.add(unit);
    else this.#busy.delete(unit);
  }
}
