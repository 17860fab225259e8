import type { TableEntry, Totals } from "./record-table.js";

const HOUR_MS = 3_600_000;

/** Records that are kept or dropped together: a dump's parts, or one file of a stream. */
export class RecordGroup implements Totals {
  /** Its first record's: groups are in the order of these. */
  readonly id: bigint;
  /** When its first record was written last, in hours since 1970-01-01 UTC, as of when the group was made. */
  readonly hour: number;
  /** Another group began the stream, or the dump, which is larger than a group may be. */
  readonly isContinuation: boolean;
  readonly #entries = new Map<bigint, TableEntry>();
  #bytes = 0;
  #pending = 0;

  constructor(first: TableEntry, isContinuation = false) {
    this.id = first.name.id;
    this.hour = Math.floor(first.timeMs / HOUR_MS);
    this.isContinuation = isContinuation;
    this.set(first);
  }

  /** Oldest first. */
  get entries(): readonly TableEntry[] {
    return [...this.#entries.values()];
  }

  get records(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A record of it is not under its name yet. */
  get isPending(): boolean {
    return this.#pending > 0;
  }

  /** Adds a record that is newer than those there are, or puts what is known of one now in the place of what was. */
  set(entry: TableEntry): void {
    const { id } = entry.name;
    const former = this.#entries.get(id);
    if (former !== undefined) this.#count(former, -1);
    // A Map has it where the former one was.
    this.#entries.set(id, entry);
    this.#count(entry, 1);
  }

  /** Takes the record with this id out. */
  delete(id: bigint): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#count(entry, -1);
  }

  #count({ size, pending }: TableEntry, sign: 1 | -1): void {
    this.#bytes += sign * size;
    if (pending === true) this.#pending += sign;
  }
}
