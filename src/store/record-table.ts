import {
  RECORD_TYPES,
  type RecordName,
  type RecordPosition,
  type RecordTypeName,
  recordKey,
} from "../records/record-name.js";

/** A record in a directory, as far as it is known without reading it. */
export interface TableEntry {
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

function isBefore(a: RecordPosition, b: RecordPosition): boolean {
  if (a.id !== b.id) return a.id < b.id;
  return RECORD_TYPES.indexOf(a.type) < RECORD_TYPES.indexOf(b.type);
}

interface Item {
  entry: TableEntry;
  isErased: boolean;
}

/** The records of a directory, oldest first, and what each type of them takes. */
export class RecordTable {
  readonly #isErased: (key: string) => boolean;
  readonly #items = new Map<string, Item>();
  #order: Item[] = [];
  readonly #totals = new Map<RecordTypeName, Totals>();
  readonly #watchers = new Set<(name: RecordName) => void>();

  /** `isErased`: whether the guest erased a record that the host keeps. */
  constructor(isErased: (key: string) => boolean = () => false) {
    this.#isErased = isErased;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Of all records, in no order. A record that is set or deleted while a caller goes through them may be left out. */
  keys(): Iterable<string> {
    return this.#items.keys();
  }

  has(key: string): boolean {
    return this.#items.has(key);
  }

  get(key: string): TableEntry | undefined {
    return this.#items.get(key)?.entry;
  }

  totals(type: RecordTypeName): Totals {
    return this.#totals.get(type) ?? NONE;
  }

  /** Calls `watcher` for each record that is set or deleted, until what is returned is called. */
  watch(watcher: (name: RecordName) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Adds a record, or puts what is known of it now in the place of what was. */
  set(entry: TableEntry): void {
    const key = recordKey(entry.name);
    const item = this.#items.get(key);
    if (item === undefined) {
      this.#order.splice(this.#indexOf(entry.name), 0, this.#add(key, entry));
    } else {
      this.#count(item.entry, -1);
      this.#count(entry, 1);
      item.entry = entry;
      this.#tell(entry);
    }
  }

  /** Adds many records, none of which is there. */
  addAll(entries: readonly TableEntry[]): void {
    if (entries.length === 0) return;
    const added = entries.map((entry) => this.#add(recordKey(entry.name), entry));
    this.#order = [...this.#order, ...added].sort((a, b) =>
      isBefore(a.entry.name, b.entry.name) ? -1 : 1,
    );
  }

  delete(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    this.#order.splice(this.#indexOf(item.entry.name), 1);
    this.#count(item.entry, -1);
    this.#tell(item.entry);
  }

  /** The guest erased the record, and the host keeps it. */
  setErased(key: string): void {
    const item = this.#items.get(key);
    if (item !== undefined) item.isErased = true;
  }

  /** The newest one of a type whose data is in a file of its name. */
  last(type: RecordTypeName): TableEntry | undefined {
    return this.#order.findLast(({ entry }) => entry.name.type === type && entry.pending !== true)
      ?.entry;
  }

  /** Oldest first. */
  ofType(...types: readonly RecordTypeName[]): TableEntry[] {
    return this.#order.flatMap(({ entry }) => (types.includes(entry.name.type) ? [entry] : []));
  }

  /** The first record behind `position`, or of all; undefined where there is none. */
  after(position: RecordPosition | undefined): TableEntry | undefined {
    return this.#order[this.#indexAfter(position)]?.entry;
  }

  /** The first record behind `position`, or of all, that isn't erased and that `matches` says yes to. */
  firstVisible(
    position: RecordPosition | undefined,
    matches: (entry: TableEntry) => boolean,
  ): TableEntry | undefined {
    for (let i = this.#indexAfter(position); i < this.#order.length; i++) {
      const item = this.#order[i];
      if (item?.isErased === false && matches(item.entry)) return item.entry;
    }
    return undefined;
  }

  /** The last such record. */
  lastVisible(matches: (entry: TableEntry) => boolean): TableEntry | undefined {
    return this.#order.findLast(({ entry, isErased }) => !isErased && matches(entry))?.entry;
  }

  #add(key: string, entry: TableEntry): Item {
    const item = { entry, isErased: this.#isErased(key) };
    this.#items.set(key, item);
    this.#count(entry, 1);
    this.#tell(entry);
    return item;
  }

  /** Of the first item that isn't before `position`. */
  #indexOf(position: RecordPosition): number {
    const last = this.#order.at(-1)?.entry.name;
    if (last === undefined || isBefore(last, position)) return this.#order.length;
    let from = 0;
    let to = this.#order.length - 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      const item = this.#order[middle];
      if (item !== undefined && isBefore(item.entry.name, position)) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #indexAfter(position: RecordPosition | undefined): number {
    if (position === undefined) return 0;
    const index = this.#indexOf(position);
    const found = this.#order[index]?.entry.name;
    return found !== undefined && !isBefore(position, found) ? index + 1 : index;
  }

  #tell({ name }: TableEntry): void {
    for (const watcher of this.#watchers) watcher(name);
  }

  #count({ name, size }: TableEntry, sign: 1 | -1): void {
    const { records, bytes } = this.totals(name.type);
    this.#totals.set(name.type, { records: records + sign, bytes: bytes + sign * size });
  }
}
