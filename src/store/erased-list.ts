import { MAX_ERASED_BYTES } from "../records/erased.js";
import { parseRecordName } from "../records/record-name.js";
import { LineFile, type LineFileHost } from "./line-file.js";

/**
 * `.erased`: the records that the guest erased and the host keeps, `dmesg-1` and so on, one a line. The
 * highest id of all stays in it, because it must not be given again.
 */
export class ErasedList extends LineFile {
  #keys = new Set<string>();
  /** The key with the highest id, and that. */
  #highest = { key: "", id: 0n };

  /** Throws the system call's error. */
  constructor(host: LineFileHost, path: string) {
    super(host, path);
    for (const line of this.load(MAX_ERASED_BYTES)) this.#remember(line);
  }

  /** The highest id in it. */
  get highestId(): bigint {
    return this.#highest.id;
  }

  /** Lines in it. */
  get size(): number {
    return this.#keys.size;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Throws the system call's error; then the record isn't in the list. */
  add(key: string): void {
    this.append(key);
    this.#remember(key);
  }

  /** Drops the lines of all records but these. Throws the system call's error. */
  prune(isThere: (key: string) => boolean): void {
    const { key } = this.#highest;
    const keys = [...this.#keys].filter((one) => one === key || isThere(one));
    this.replace(keys);
    this.#keys = new Set(keys);
  }

  #remember(key: string): void {
    const id = parseRecordName(key)?.id;
    if (id === undefined) return;
    this.#keys.add(key);
    if (id > this.#highest.id) this.#highest = { key, id };
  }
}
