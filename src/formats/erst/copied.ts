import { crypto } from "../../os/builtins.js";
import { LineFile, OWN_FILE } from "../../store/index.js";

/** What tells records apart: the id, and the bytes, as a guest may write other ones under the same id. */
export const slotKey = (id: bigint, record: Uint8Array): string =>
  `${id.toString(16).padStart(16, "0")} ${digestOf(record)}`;

/** 32 hexadecimal digits of its SHA-256. */
export const digestOf = (bytes: Uint8Array): string =>
  crypto().createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/** So many of records that have left the ERST file are worth making the list anew. */
const MAX_STALE = 1000;

/** Far more than there are slots; of a longer file the end is read. */
const MAX_BYTES = 64 << 20;

/** `.erst`: which of an ERST file's records were copied, a key on each line. */
export class CopiedList extends LineFile {
  #keys: Set<string>;

  /** Throws the system call's error. */
  constructor(path: string) {
    super(OWN_FILE, path);
    this.#keys = new Set(this.load(MAX_BYTES));
    this.replace([...this.#keys]);
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Durable on return. Throws the system call's error; then it is not added. */
  add(key: string): void {
    // Its owner may have put another in its place, too.
    if (this.leaveRemoved()) this.replace([...this.#keys, key]);
    else this.append(key);
    this.sync();
    this.#keys.add(key);
  }

  /** Drops the keys of records that have left the ERST file, where there are many. */
  prune(present: readonly string[]): void {
    if (this.#keys.size <= present.length + MAX_STALE) return;
    this.#keys = new Set(present.filter((key) => this.#keys.has(key)));
    this.replace([...this.#keys]);
  }
}
