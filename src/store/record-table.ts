import { compareRecords, type RecordName, type RecordTypeName } from "./record-name.js";

/** A record in a directory, as far as it is known without reading it. */
export interface RecordEntry {
  readonly name: RecordName;
  /** In bytes, as stored. */
  readonly size: number;
  /** When it was last written, in milliseconds since 1970-01-01 UTC. */
  readonly timeMs: number;
  /** Its data is in a file, but not under its name yet. */
  readonly pending?: true;
}

/** What the records of one type take. */
export interface Totals {
  readonly records: number;
  readonly bytes: number;
}

const NONE: Totals = { records: 0, bytes: 0 };

/** `dmesg-1`: the name without what says how it is compressed. */
export const recordKey = ({ type, id }: Pick<RecordName, "type" | "id">): string => `${type}-${id}`;

/** The records of a directory, and what each type of them takes. */
export class RecordTable {
  readonly #entries = new Map<string, RecordEntry>();
  readonly #totals = new Map<RecordTypeName, Totals>();

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): RecordEntry | undefined {
    return this.#entries.get(key);
  }

  totals(type: RecordTypeName): Totals {
    return this.#totals.get(type) ?? NONE;
  }

  /** Adds a record, or puts what is known of it now in the place of what was. */
  set(entry: RecordEntry): void {
    const key = recordKey(entry.name);
    this.delete(key);
    this.#entries.set(key, entry);
    this.#count(entry, 1);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#count(entry, -1);
  }

  clear(): void {
    this.#entries.clear();
    this.#totals.clear();
  }

  /** Oldest first. */
  ofType(...types: readonly RecordTypeName[]): RecordEntry[] {
    return [...this.#entries.values()]
      .filter(({ name }) => types.includes(name.type))
      .sort((a, b) => compareRecords(a.name, b.name));
  }

  #count({ name, size }: RecordEntry, sign: 1 | -1): void {
    const { records, bytes } = this.totals(name.type);
    this.#totals.set(name.type, { records: records + sign, bytes: bytes + sign * size });
  }
}
