import { join } from "node:path";
import { errno, SystemError } from "../../os/index.js";
import {
  DirectoryStore,
  type Dropped,
  FreeSpace,
  type MinFree,
  type Quotas,
  RateLimiter,
  type Rates,
  systemFiles,
} from "../../store/index.js";
import { CopiedList, digestOf } from "./copied.js";
import { ErstFile } from "./erst-file.js";
import { OtherRecords } from "./other-records.js";
import { type Payload, payloadOf } from "./pstore-record.js";
import { type Left, type ReadSlot, SlotWatch } from "./slot-watch.js";

/** Where a directory keeps which records were copied into it. */
const COPIED_NAME = ".erst";

/** What a copier is made with. */
export interface CopierOptions {
  /** The ERST file. */
  readonly path: string;
  readonly directory: string;
  /** The one for dmesg; as much again is for all other records. */
  readonly quotas: Quotas;
  /** The one for dmesg counts for all that is read, whatever it is. */
  readonly rates: Rates;
  readonly minFree: MinFree;
  /** A record is in the directory, durably; the size is in bytes. */
  readonly onStored: (path: string, size: number) => void;
  readonly onDropped: (dropped: Dropped) => void;
  /** A slot is damaged: what is in it is kept like a record. */
  readonly onDamaged: (id: bigint, damage: string) => void;
  /** A record could not be copied. It is tried again, and told once. */
  readonly onFailed: (id: bigint, error: unknown) => void;
}

/**
 * Copies records out of an ERST file into a directory: dumps' parts into its store, and everything else
 * as files of their own, byte for byte. Each is copied once, also by the processes that come after this
 * one, and for as long as it stays in the ERST file even if its copy is removed.
 */
export class ErstCopier {
  readonly #options: CopierOptions;
  readonly #store: DirectoryStore;
  readonly #copied: CopiedList;
  readonly #others: OtherRecords;
  readonly #slots: SlotWatch;
  /** The newest part in the store: a process that was killed may have copied it, and not noted that. */
  #newest: string | undefined;
  /** By their keys, what this process copied and could not note. */
  #unnoted = new Set<string>();

  /** Throws ErstError for what is no ERST file, StoreError, and the system call's error. */
  constructor(options: CopierOptions) {
    this.#options = options;
    const { path, directory, quotas, rates, minFree, onDropped, onStored } = options;
    expectErst(path);
    this.#store = new DirectoryStore(directory, {
      quotas,
      minFree,
      onDropped,
      onStored: ({ path, size }) => {
        onStored(path, size);
      },
    });
    this.#copied = new CopiedList(join(directory, COPIED_NAME));
    this.#others = new OtherRecords(directory, quotas.dmesg, new FreeSpace(systemFiles, minFree));
    const limiter = new RateLimiter(rates);
    this.#slots = new SlotWatch(path, limiter, (key) => this.#copied.has(key));
    this.#newest = this.#newestKey();
  }

  close(): void {
    this.#store.close();
    for (const fd of this.#copied.end()) systemFiles.close(fd);
  }

  /**
   * Copies what is new and whole, and says what the next call has to look at again. Throws ErstError, and
   * the system call's error of the ERST file.
   */
  copy(): Left {
    const left = this.#slots.look((slot) => this.#take(slot));
    // What is late may be that part.
    if (left.late === 0) this.#newest = undefined;
    const keys = this.#slots.keys;
    this.#unnoted = new Set(keys.filter((key) => this.#unnoted.has(key)));
    this.#copied.prune(keys);
    return left;
  }

  /** How many records have slots that may be cleared. */
  get clearable(): number {
    return this.#slots.keys.filter((key) => this.#copied.has(key)).length;
  }

  /**
   * Frees the slots of all records that were copied. Whoever calls this has seen to it that the guest
   * doesn't run, or that nobody else uses the file.
   */
  clear(): void {
    const file = new ErstFile(this.#options.path, { writable: true });
    try {
      file.clear(this.#slots.takeUnchanged(file));
    } finally {
      file.close();
    }
  }

  #newestKey(): string | undefined {
    const newest = this.#store.visible.records(["dmesg"]).at(-1);
    // Whoever compressed it was its owner.
    if (newest === undefined || newest.gzip === true) return undefined;
    const contents = this.#store.visible.read(newest, Number.MAX_SAFE_INTEGER);
    return contents && partKey(newest.compressed, contents.data);
  }

  /** Whether the record is in the directory now. */
  #take(slot: ReadSlot): boolean {
    const { id, key, again, damage } = slot;
    try {
      if (!this.#unnoted.has(key)) this.#copyOne(slot);
      this.#unnoted.add(key);
      this.#copied.add(key);
      this.#unnoted.delete(key);
      if (damage !== undefined) this.#options.onDamaged(id, damage);
      return true;
    } catch (error) {
      if (!again) this.#options.onFailed(id, error);
      return false;
    }
  }

  #copyOne({ id, record, bytes }: ReadSlot): void {
    const payload = record && payloadOf(record);
    if (payload?.type === "dmesg") {
      this.#copyPart(payload, bytes);
      return;
    }
    const path = this.#others.store(id, bytes);
    if (path !== undefined) this.#options.onStored(path, bytes.length);
  }

  #copyPart({ compressed, offset, length }: Payload, bytes: Buffer): void {
    const part = bytes.subarray(offset, offset + length);
    if (partKey(compressed, part) === this.#newest) {
      this.#newest = undefined;
      return;
    }
    const place = this.#store.write("dmesg", compressed, [part]);
    let failed: number = errno.EIO;
    this.#store.commit(({ writes }) => {
      failed = writes[place] ?? errno.EIO;
    });
    if (failed !== 0) throw new SystemError("write", failed, this.#options.directory);
  }
}

const partKey = (compressed: boolean, part: Uint8Array): string =>
  `${compressed} ${digestOf(part)}`;

/** Throws ErstError: before anything is made. */
function expectErst(path: string): void {
  const file = new ErstFile(path);
  try {
    file.header();
  } finally {
    file.close();
  }
}
