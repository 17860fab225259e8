import type { TableEntry } from "./record-table.js";

/** Records that are kept or dropped together: a dump's parts, or one file of a stream. */
export class Unit {
  readonly #records: TableEntry[] = [];
  #bytes = 0;
  #pending = 0;
  /** Of a stream's file: the id of the one that its stream began with. */
  readonly stream: bigint | undefined;

  /** `records`: oldest first. */
  constructor(records: readonly TableEntry[], stream?: bigint) {
    this.stream = stream;
    for (const entry of records) this.add(entry);
  }

  /** Oldest first. */
  get records(): readonly TableEntry[] {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** When it came, in milliseconds since 1970-01-01 UTC. */
  get timeMs(): number {
    return this.#records[0]?.timeMs ?? 0;
  }

  /** A record of it is not under its name yet. */
  get isPending(): boolean {
    return this.#pending > 0;
  }

  /** It is the file that its stream began with. */
  get isBeginning(): boolean {
    return this.stream !== undefined && this.#records[0]?.name.id === this.stream;
  }

  /** A record that is newer than those there are. */
  add(entry: TableEntry): void {
    this.#records.push(entry);
    this.#count(entry, 1);
  }

  /** Puts what is known of the record with this id now in the place of what was, or takes it out. */
  replace(id: bigint, entry: TableEntry | undefined): void {
    let from = 0;
    let to = this.#records.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      const found = this.#records[middle];
      if (found !== undefined && found.name.id < id) from = middle + 1;
      else to = middle;
    }
    const former = this.#records[from];
    if (former?.name.id !== id) return;
    this.#records.splice(from, 1, ...(entry === undefined ? [] : [entry]));
    this.#count(former, -1);
    if (entry !== undefined) this.#count(entry, 1);
  }

  /** Takes out what is behind the first `count` records: a unit of its own. */
  splitBehind(count: number): Unit {
    const rest = this.#records.splice(count);
    for (const entry of rest) this.#count(entry, -1);
    return new Unit(rest, this.stream);
  }

  #count({ size, pending }: TableEntry, sign: 1 | -1): void {
    this.#bytes += sign * size;
    if (pending === true) this.#pending += sign;
  }
}
