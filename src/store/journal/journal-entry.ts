import { RECORD_TYPES, type RecordName, type RecordTypeName } from "../../records/record-name.js";

/** A journal's memory, in words of 8 bytes. */
export interface JournalMemory {
  readonly bytes: Uint8Array;
  /** Halves of words: word N begins at 2N. */
  readonly words: Uint32Array;
  readonly longs: BigInt64Array;
  readonly numbers: Float64Array;
}

const Kind = {
  NONE: 0,
  DUMP: 1,
  APPENDING: 2,
  ERASE: 3,
  READ: 4,
  APPENDED: 5,
  REFUSED: 6,
} as const;

/** A record, without what its file's name says of how it is compressed. */
type RecordId = Pick<RecordName, "type" | "id">;

/** What an entry says of its request: what it was about to do, has done, or was answered. */
export type Effect =
  /** A record's file, with this inode, gets the name that goes with the record. */
  | ({ readonly kind: "dump"; readonly inode: number; readonly mayBeLast: boolean } & RecordId)
  /** `bytes` come behind the first `before` of a stream's file. */
  | ({
      readonly kind: "appending";
      readonly before: number;
      readonly bytes: number;
    } & RecordId)
  | { readonly kind: "appended"; readonly type: RecordTypeName }
  | ({ readonly kind: "erase" } & RecordId)
  /** The walk's next record is returned, behind the one with the id `after`. */
  | { readonly kind: "read"; readonly after: bigint }
  | { readonly kind: "refused"; readonly errno: number };

/** Words of 8 bytes: position u32 and kind u32; type i64; id i64; two numbers, f64. */
export const ENTRY_WORDS = 5;

/** One request: whoever does it says here what it is about to do, before it does. */
export class JournalEntry {
  readonly #memory: JournalMemory;
  readonly #at: number;

  /** `at`: the entry's first word. */
  constructor(memory: JournalMemory, at: number) {
    this.#memory = memory;
    this.#at = at;
  }

  get position(): number {
    return this.#memory.words[2 * this.#at] ?? 0;
  }

  /** A request begins that has done nothing yet. */
  begin(position: number): void {
    this.#setKind(Kind.NONE);
    this.#memory.words[2 * this.#at] = position;
  }

  /** The request did nothing: done later it would come behind those that follow on it. */
  refused(errno: number): void {
    this.#setKind(Kind.NONE);
    this.#set(Kind.REFUSED, { type: "dmesg", id: 0n }, errno);
  }

  /**
   * A record's file, which has this inode, is about to get the record's name. `mayBeLast`: of the log, and not of
   * an oops for all that is known: the guest may end behind it.
   */
  naming(record: RecordId, inode: number, mayBeLast: boolean): void {
    this.#set(Kind.DUMP, record, inode, mayBeLast ? 1 : 0);
  }

  /** `bytes` are about to be appended to a stream's file, which has `before`. */
  appending(record: RecordId, before: number, bytes: number): void {
    this.#set(Kind.APPENDING, record, before, bytes);
  }

  /** They were, and the stream says what was missing before them. */
  appended(): void {
    this.#setKind(Kind.APPENDED);
  }

  /** A record is about to be erased. */
  erasing(record: RecordId): void {
    this.#set(Kind.ERASE, record);
  }

  /** The record of the walk behind `after` is about to be returned. */
  reading(after: bigint): void {
    this.#set(Kind.READ, { type: "dmesg", id: after });
  }

  /** Undefined where the request has no effect, or hasn't come to it. */
  get effect(): Effect | undefined {
    const { words, longs, numbers } = this.#memory;
    const type = RECORD_TYPES[Number(longs[this.#at + 1])] ?? "dmesg";
    const id = longs[this.#at + 2] ?? 0n;
    const one = numbers[this.#at + 3] ?? 0;
    const other = numbers[this.#at + 4] ?? 0;
    switch (words[2 * this.#at + 1]) {
      case Kind.DUMP:
        return { kind: "dump", type, id, inode: one, mayBeLast: other === 1 };
      case Kind.APPENDING:
        return { kind: "appending", type, id, before: one, bytes: other };
      case Kind.APPENDED:
        return { kind: "appended", type };
      case Kind.ERASE:
        return { kind: "erase", type, id };
      case Kind.READ:
        return { kind: "read", after: id };
      case Kind.REFUSED:
        return { kind: "refused", errno: one };
      default:
        return undefined;
    }
  }

  #set(kind: number, { type, id }: RecordId, one = 0, other = 0): void {
    const { longs, numbers } = this.#memory;
    longs[this.#at + 1] = BigInt(RECORD_TYPES.indexOf(type));
    numbers[this.#at + 3] = one;
    numbers[this.#at + 4] = other;
    // A record that gets another id has it here before it has it on disk.
    Atomics.store(longs, this.#at + 2, id);
    this.#setKind(kind);
  }

  #setKind(kind: number): void {
    Atomics.store(this.#memory.words, 2 * this.#at + 1, kind);
  }
}
