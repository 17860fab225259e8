import { join } from "node:path";
import { formatRecordName, parseRecordName, recordKey } from "../records/record-name.js";
import type { Files } from "./files.js";
import type { RecordTable, TableEntry } from "./record-table.js";

/**
 * One reading of a directory, which its owner may add files to and remove files from, into a table. It goes on piece
 * by piece: there may be any number of files. What the table is told of meanwhile, it knows better.
 */
export class DirectoryReading {
  readonly #files: Files;
  readonly #path: string;
  readonly #table: RecordTable;
  readonly #steps: Generator<undefined, void>;
  /** The highest id of all that have a record's name, whatever they are. */
  newest = 0n;
  /** Names of what has no record's name. */
  readonly others: string[] = [];

  constructor(files: Files, path: string, table: RecordTable) {
    this.#files = files;
    this.#path = path;
    this.#table = table;
    this.#steps = this.#read();
  }

  /** Goes on until `isTurnOver` says so: true at the end. Throws the system call's error, and is at its end then. */
  goOn(isTurnOver: () => boolean): boolean {
    while (this.#steps.next().done !== true) if (isTurnOver()) return false;
    return true;
  }

  /** Ends it where it is. */
  abandon(): void {
    this.#steps.return();
  }

  *#read(): Generator<undefined, void> {
    const table = this.#table;
    const known = new Set<string>();
    const unwatch = table.watch((name) => known.add(recordKey(name)));
    const found = new Map<string, TableEntry>();
    const directory = this.#files.openDirectory(this.#path);
    try {
      for (let entry = directory.read(); entry !== undefined; entry = directory.read()) {
        const name = parseRecordName(entry.name);
        if (name === undefined) {
          this.others.push(entry.name);
          continue;
        }
        // Whatever has a record's name takes its id; only a file is a record.
        if (name.id > this.newest) this.newest = name.id;
        const file = entry.isFile() ? this.#files.lstat(join(this.#path, entry.name)) : undefined;
        if (file !== undefined) {
          found.set(recordKey(name), { name, size: file.size, timeMs: file.mtimeMs });
        }
        yield;
      }
      for (const key of table.keys()) {
        // What isn't under its name yet isn't there.
        if (!found.has(key) && !known.has(key) && table.get(key)?.pending !== true) {
          table.delete(key);
        }
        yield;
      }
      const added: TableEntry[] = [];
      for (const [key, entry] of found) {
        if (known.has(key)) continue;
        const former = table.get(key);
        if (former === undefined) added.push(entry);
        else if (!isSame(former, entry)) table.set(entry);
        yield;
      }
      table.addAll(added);
    } finally {
      unwatch();
      directory.close();
    }
  }
}

const isSame = (a: TableEntry, b: TableEntry): boolean =>
  a.size === b.size &&
  a.timeMs === b.timeMs &&
  a.pending === b.pending &&
  formatRecordName(a.name) === formatRecordName(b.name);
