import {
  isStream,
  type RecordName,
  type RecordPosition,
  type RecordTypeName,
  recordKey,
} from "../records/record-name.js";
import { goesOn, type PartBeginning } from "../records/same-dump.js";
import type { DumpHeaders } from "./dump-headers.js";
import { EvictionQueue } from "./eviction-queue.js";
import { isHalf, type Quota } from "./quota.js";
import { RecordGroup } from "./record-group.js";
import type { RecordTable, TableEntry, Totals } from "./record-table.js";
import type { StreamIndex } from "./stream-index.js";

/** What is to be stored. */
export interface Wanted extends Totals {
  readonly type: RecordTypeName;
  /** The record of a dump, which is not in the table yet. */
  readonly part?: PartBeginning;
  /** The file of a stream that it is appended to, and no new one. */
  readonly into?: RecordName | undefined;
}

/** What tells of a directory's records. */
export interface KnownRecords {
  readonly table: RecordTable;
  readonly headers: Pick<DumpHeaders, "get">;
  readonly index: Pick<StreamIndex, "get">;
}

/** Which of one type's records go. They are put into groups when that is needed, and these then follow the table. */
export class Retention {
  readonly #type: RecordTypeName;
  readonly #directory: KnownRecords;
  readonly #quota: Quota;
  #queue = new EvictionQueue();
  /** By the records' keys. */
  readonly #groups = new Map<string, RecordGroup>();
  /** The newest dump, and its newest part. */
  #newest: { readonly group: RecordGroup; readonly part: PartBeginning } | undefined;
  /** The newest record that was looked at. */
  #at: RecordPosition | undefined;

  constructor(type: RecordTypeName, directory: KnownRecords, quota: Quota) {
    this.#type = type;
    this.#directory = directory;
    this.#quota = quota;
    directory.table.watch((name) => {
      if (name.type === type) this.#follow(name);
    });
  }

  /** Puts all records that there are into groups; false where the turn is over before. */
  catchUp(isTurnOver: () => boolean): boolean {
    const { table } = this.#directory;
    for (let entry = table.after(this.#at); entry !== undefined; entry = table.after(this.#at)) {
      this.#at = entry.name;
      if (entry.name.type === this.#type) this.#add(entry);
      if (isTurnOver()) return false;
    }
    return true;
  }

  /**
   * The groups that have to go, or undefined, as EvictionQueue's toEvict() has it, of the records that catchUp() has put
   * into groups. `used` is without records that are going already.
   */
  toEvict(wanted: Wanted, used: Totals, most?: number): RecordGroup[] | undefined {
    const { part, into } = wanted;
    const continued = part === undefined ? undefined : this.#continued(part);
    const appended = into === undefined ? undefined : this.#groups.get(recordKey(into));
    const wish = { quota: this.#quota, used, needed: wanted, continued, appended };
    return this.#queue.toEvict(wish, most);
  }

  /** These are going: they aren't named again. */
  evict(groups: readonly RecordGroup[]): void {
    for (const group of groups) this.#remove(group);
  }

  /** Begins anew. */
  forget(): void {
    this.#queue = new EvictionQueue();
    this.#groups.clear();
    this.#newest = undefined;
    this.#at = undefined;
  }

  #continued(part: PartBeginning): RecordGroup | undefined {
    if (this.#newest === undefined) return undefined;
    const { group, part: former } = this.#newest;
    return goesOn(former, part, group.records) ? group : undefined;
  }

  /** A record that is newer than all others. */
  #add(entry: TableEntry): void {
    const { name } = entry;
    const { headers, index } = this.#directory;
    if (isStream(name.type)) {
      const first = index.get(name)?.first.id ?? name.id;
      this.#begin(new RecordGroup(entry, first !== name.id));
      return;
    }
    const part = { ...entry, compressed: name.compressed, header: headers.get(name) };
    const former = this.#continued(part);
    const isOne = former !== undefined && this.#mayTake(former, entry);
    const group = isOne ? former : this.#begin(new RecordGroup(entry, former !== undefined));
    if (isOne) group.set(entry);
    this.#groups.set(recordKey(name), group);
    this.#newest = { group, part };
  }

  #begin(group: RecordGroup): RecordGroup {
    this.#queue.add(group);
    for (const { name } of group.entries) this.#groups.set(recordKey(name), group);
    return group;
  }

  /** So the first dump, which stays, leaves half of the quota to others. */
  #mayTake({ records, bytes }: RecordGroup, { size }: TableEntry): boolean {
    return isHalf({ records: records + 1, bytes: bytes + size }, this.#quota);
  }

  #remove(group: RecordGroup): void {
    this.#queue.remove(group);
    if (this.#newest?.group === group) this.#newest = undefined;
  }

  /** A record was set or deleted. */
  #follow(name: RecordName): void {
    const key = recordKey(name);
    const entry = this.#directory.table.get(key);
    const group = this.#groups.get(key);
    if (group === undefined) {
      // Its owner put it among those that were looked at.
      const isOld = entry !== undefined && this.#at !== undefined && entry.name.id <= this.#at.id;
      if (isOld) this.forget();
      return;
    }
    if (entry !== undefined) {
      group.set(entry);
      return;
    }
    group.delete(name.id);
    this.#groups.delete(key);
    if (group.records === 0) this.#remove(group);
  }
}
