import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errno, SystemError } from "../native/index.js";
import { DirectoryStore, type Dropped, formatRecordName, type Rooms } from "../store/index.js";
import { CopiedList, recordKey } from "./copied.js";
import { CPER_NAME, HEADER_BYTES } from "./cper.js";
import { ErstError } from "./errors.js";
import { ErstFile, type ErstSlot } from "./erst-file.js";
import { type Payload, payloadOf } from "./pstore-record.js";

/** Where a directory keeps which records were copied into it. */
const COPIED_NAME = ".erst";

/** Records that are no dumps: a guest can write as many as it likes. */
const MAX_OTHERS = 1000;

/** What a copier is made with. */
export interface CopierOptions {
  /** The ERST file. */
  readonly path: string;
  readonly directory: string;
  readonly rooms?: Rooms;
  /** A record is in the directory, durably; the size is in bytes. */
  readonly onStored: (path: string, size: number) => void;
  readonly onDropped: (dropped: Dropped) => void;
  /** A record could not be copied, and is tried again the next time; its slot is damaged, for one. */
  readonly onFailed: (id: bigint, error: unknown) => void;
}

/** A record that is whole in its slot. */
interface Whole {
  readonly slot: ErstSlot;
  readonly bytes: Buffer;
  readonly key: string;
}

/** A slot as it was found before: while its record's header is the same, so is the record. */
interface Known {
  readonly id: bigint;
  readonly header: Buffer;
  readonly key: string;
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
  /** Of the last look at the file, by slot. */
  #known = new Map<number, Known>();

  /** Throws ErstError for what is no ERST file, StoreError, and the system call's error. */
  constructor(options: CopierOptions) {
    this.#options = options;
    const { directory, rooms, onStored, onDropped } = options;
    const present = this.#look(() => false);
    this.#store = new DirectoryStore(directory, {
      ...(rooms === undefined ? {} : { rooms }),
      onDropped,
      onStored: ({ path, size }) => {
        onStored(path, size);
      },
    });
    const keys = new Set(present.map(({ key }) => key));
    this.#copied = new CopiedList(join(directory, COPIED_NAME), keys);
    // A process that was killed between the two had copied the record and not noted it.
    for (const { slot, bytes, key } of present) {
      if (!this.#copied.has(key) && this.#isStored(slot, bytes)) this.#copied.add(key);
    }
  }

  close(): void {
    this.#store.close();
  }

  /** Copies what is new and whole. Throws ErstError, and the system call's error of the ERST file. */
  copy(): void {
    for (const { slot, bytes, key } of this.#look((known) => this.#copied.has(known))) {
      try {
        this.#copyOne(slot, bytes);
        this.#copied.add(key);
      } catch (error) {
        this.#options.onFailed(slot.id, error);
      }
    }
  }

  /** How many records have slots that may be cleared. */
  get clearable(): number {
    return [...this.#known.values()].filter(({ key }) => this.#copied.has(key)).length;
  }

  /**
   * Frees the slots of all records that were copied. Whoever calls this has seen to it that the guest
   * doesn't run, or that nobody else uses the file.
   */
  clear(): void {
    // The guest may have written since: only what is there as it was copied is cleared.
    this.#look((key) => this.#copied.has(key));
    const file = new ErstFile(this.#options.path, { writable: true });
    try {
      for (const [index, { id, key }] of this.#known) {
        if (this.#copied.has(key)) file.clear({ index, id });
      }
    } finally {
      file.close();
    }
    this.#known.clear();
  }

  /**
   * Looks at the file and returns the records that are whole, without those whose key `isDone`. QEMU
   * puts a record's id into the map when all of it is in its slot; one that is written over at this
   * moment differs when it is read again, and waits for the next time.
   */
  #look(isDone: (key: string) => boolean): Whole[] {
    const file = new ErstFile(this.#options.path);
    try {
      const header = file.header();
      const found: Whole[] = [];
      const known = new Map<number, Known>();
      if (header === undefined) return [];
      for (const [index, id] of file.ids(header)) {
        const head = file.read({ offset: index * header.recordSize }, 0, HEADER_BYTES);
        const before = this.#known.get(index);
        if (before?.id === id && before.header.equals(head) && isDone(before.key)) {
          known.set(index, before);
          continue;
        }
        const slot = file.slot(header, index, id);
        if (slot.record === undefined) {
          const why = new ErstError("BAD_FIELD", `its slot is damaged: ${slot.damage}`);
          this.#options.onFailed(id, why);
          continue;
        }
        const bytes = file.read(slot, 0, slot.record.length);
        if (!bytes.equals(file.read(slot, 0, slot.record.length))) continue;
        const key = recordKey(id, bytes);
        known.set(index, { id, header: head, key });
        if (!isDone(key)) found.push({ slot, bytes, key });
      }
      this.#known = known;
      return found.sort((a, b) => (a.slot.id < b.slot.id ? -1 : 1));
    } finally {
      file.close();
    }
  }

  #copyOne({ id, record }: ErstSlot, bytes: Buffer): void {
    const payload = record && payloadOf(record);
    if (payload?.type === "dmesg") this.#copyPart(payload, bytes);
    else this.#copyWhole(id, bytes);
  }

  #copyPart({ compressed, offset, length }: Payload, bytes: Buffer): void {
    const place = this.#store.write("dmesg", compressed, [bytes.subarray(offset, offset + length)]);
    let failed: number = errno.EIO;
    this.#store.commit(({ writes }) => {
      failed = writes[place] ?? errno.EIO;
    });
    if (failed !== 0) throw new SystemError("write", failed, this.#options.directory);
  }

  #copyWhole(id: bigint, bytes: Buffer): void {
    const { directory, onStored } = this.#options;
    const others = readdirSync(directory).filter((name) => CPER_NAME.test(name));
    if (others.length >= MAX_OTHERS) {
      throw new SystemError("write", errno.ENOSPC, `${directory}: ${MAX_OTHERS} other records`);
    }
    const name = cperName(id);
    const path = join(directory, name);
    const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
    const temporary = join(directory, `.${name}`);
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      writeFileSync(fd, bytes);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    const parent = openSync(directory, O_RDONLY | O_DIRECTORY);
    try {
      fsyncSync(parent);
    } finally {
      closeSync(parent);
    }
    onStored(path, bytes.length);
  }

  /** Whether the directory has the record's payload already. */
  #isStored({ id, record }: ErstSlot, bytes: Buffer): boolean {
    if (record === undefined) return false;
    const { type, compressed, offset, length } = payloadOf(record);
    const payload = bytes.subarray(offset, offset + length);
    if (type !== "dmesg") {
      return hasBytes(join(this.#options.directory, cperName(id)), payload);
    }
    return this.#store
      .records(["dmesg"])
      .filter((name) => name.compressed === compressed)
      .some((name) => hasBytes(join(this.#options.directory, formatRecordName(name)), payload));
  }
}

const cperName = (id: bigint): string => `cper-${id.toString(16).padStart(16, "0")}`;

/** Whether a file holds just these bytes; false where there is none. */
function hasBytes(path: string, bytes: Buffer): boolean {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return fstatSync(fd).size === bytes.length && readFileSync(fd).equals(bytes);
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}
