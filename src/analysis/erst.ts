import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import {
  ErstError,
  ErstFile,
  type ErstSlot,
  expectUnused,
  payloadOf,
  timeOf,
} from "../formats/erst/index.js";
import type { OnSkipped, RecordEntry, RecordSource } from "../records/record.js";

/** What an ERST file begins with. */
const MAGIC = Buffer.from("ERSTSTOR", "latin1");

/** Whether a file begins like QEMU's ERST store: such files have no name of their own. */
export function isErstFile(path: string): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(MAGIC.length);
    if (!fstatSync(fd).isFile()) return false;
    return readSync(fd, bytes, 0, bytes.length, 0) === bytes.length && bytes.equals(MAGIC);
  } finally {
    closeSync(fd);
  }
}

/** For so long nobody is looked for again who uses a file. */
const UNUSED_MS = 200;

function using<T>(path: string, writable: boolean, use: (file: ErstFile) => T): T {
  const file = new ErstFile(path, { writable });
  try {
    return use(file);
  } finally {
    file.close();
  }
}

/** The slots of one ERST file. */
class ErstSource implements RecordSource {
  readonly #path: string;
  /** By the records' names: a damaged store may have two of one id. */
  readonly #slots = new Map<string, { readonly slot: ErstSlot; readonly offset: number }>();
  /** When nobody else was last seen to use the file. */
  #unusedMs = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
  }

  /** By the records' ids, damaged slots left out and told. Throws ErstError where the file is no store. */
  records(onSkipped: OnSkipped): RecordEntry[] {
    return using(this.#path, false, (file) =>
      file.slots().flatMap((slot) => {
        const { damage, id, record } = slot;
        if (record === undefined) {
          onSkipped(new ErstError("BAD_FIELD", `${this.#path}: ${damage}`));
          return [];
        }
        const { type, compressed, offset, length } = payloadOf(record);
        const time = timeOf(record) ?? statSync(this.#path).mtime;
        // As pstorefs calls them in the guest.
        const usual = `${type}-erst-${id}${compressed ? ".enc.z" : ""}`;
        const name = this.#slots.has(usual) ? `${usual}.slot-${slot.index}` : usual;
        this.#slots.set(name, { slot, offset });
        const path = `${this.#path}: ${name}`;
        const of = { type, id, compressed, name, path, guest: "", size: length, time };
        return [{ ...of, container: this.#path, erased: false, source: this }];
      }),
    );
  }

  *read({ name, size }: RecordEntry, from: number, to: number): Generator<Buffer, void, void> {
    const found = this.#slots.get(name);
    if (found === undefined) return;
    const { slot, offset } = found;
    const end = Math.min(size, to);
    if (from < end) {
      yield using(this.#path, false, (file) => file.read(slot, offset + from, offset + end));
    }
  }

  remove(records: readonly RecordEntry[]): void {
    const slots = records.flatMap(({ name }) => this.#slots.get(name)?.slot ?? []);
    // All processes are looked at, which takes longer than removing a record.
    if (performance.now() - this.#unusedMs > UNUSED_MS) {
      expectUnused(this.#path);
      this.#unusedMs = performance.now();
    }
    using(this.#path, true, (file) => {
      file.clear(slots);
    });
  }
}

/** The records of an ERST file, oldest first; `onSkipped` is told of damaged slots. Throws ErstError. */
export function recordsInErst(path: string, onSkipped: OnSkipped): RecordEntry[] {
  return new ErstSource(path).records(onSkipped);
}
