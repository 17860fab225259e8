import {
  type BootStreams,
  type Intent,
  RECORD_TYPES,
  type RecordTypeName,
  type StreamTypeName,
} from "../store/index.js";
import { QUEUE_COUNT } from "./wire.js";

/** Requests of one queue that can be under way at a time. */
export const LEDGER_SLOTS = 64;

const Kind = {
  NONE: 0,
  DUMP: 1,
  APPEND: 2,
  ERASE: 3,
  READ: 4,
  APPENDED: 5,
  REFUSED: 6,
} as const;

/** What a request was about to do or has done, or why it did nothing, at its position of its queue. */
export type Note =
  | {
      readonly kind: "dump";
      readonly type: RecordTypeName;
      readonly id: bigint;
      readonly inode: number;
      readonly mayBeLast: boolean;
    }
  | {
      readonly kind: "append";
      readonly type: RecordTypeName;
      readonly id: bigint;
      readonly before: number;
      readonly bytes: number;
    }
  | { readonly kind: "appended"; readonly type: RecordTypeName }
  | { readonly kind: "erase"; readonly type: RecordTypeName; readonly id: bigint }
  | { readonly kind: "read"; readonly after: bigint }
  | { readonly kind: "refused"; readonly errno: number };

/** A walk: the ids of the record that it returned last, 0 at its beginning, and of its last one. */
export interface WalkState {
  readonly after: bigint;
  readonly upTo: bigint;
}

// In words of 8 bytes. Head: begun u32 and walk open u32; the walk; two streams of id, inode, and bytes that are missing.
// Then the entries: position u32 and kind u32; type; id; two numbers. Last, the queues that were told of, u32, and whether
// what may be the guest's last dump was stored, u32.
const WALK = 1;
const STREAMS = 3;
const HEAD = 9;
const ENTRY = 5;
const TOLD = HEAD + ENTRY * LEDGER_SLOTS * QUEUE_COUNT;
const LEDGER_BYTES = 8 * (TOLD + 1);

const typeAt = (index: number): RecordTypeName => RECORD_TYPES[index] ?? "dmesg";
const streamAt = (type: StreamTypeName): number => STREAMS + (type === "console" ? 0 : 3);

/**
 * What the device must know after its process died, in memory that outlives it: the boot, the walk, and
 * for each request under way what it was about to do. Stores to memory is all that it costs.
 */
export class Ledger implements BootStreams {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #longs: BigInt64Array;
  readonly #numbers: Float64Array;
  readonly #entries: LedgerEntry[] = [];

  /** Takes memory that is zeroed, or that a former process's ledger had. */
  constructor(memory: Uint8Array<ArrayBuffer> = new Uint8Array(LEDGER_BYTES)) {
    const { buffer, byteOffset } = memory;
    this.#bytes = memory;
    this.#words = new Uint32Array(buffer, byteOffset, LEDGER_BYTES / 4);
    this.#longs = new BigInt64Array(buffer, byteOffset, LEDGER_BYTES / 8);
    this.#numbers = new Float64Array(buffer, byteOffset, LEDGER_BYTES / 8);
    for (let i = 0; i < LEDGER_SLOTS * QUEUE_COUNT; i++) {
      const at = HEAD + i * ENTRY;
      this.#entries.push(new LedgerEntry(this.#words, this.#longs, this.#numbers, at));
    }
  }

  /** The boot has begun: the driver made a request since the last reset. */
  get begun(): boolean {
    return this.#words[0] !== 0;
  }

  set begun(begun: boolean) {
    this.#words[0] = begun ? 1 : 0;
  }

  /** Bit N: the operator was told that the driver has started with queue N. */
  get toldQueues(): number {
    return this.#words[2 * TOLD] ?? 0;
  }

  set toldQueues(queues: number) {
    this.#words[2 * TOLD] = queues;
  }

  /** A dump was stored that isn't an oops's: the guest may end behind it. */
  get lastDump(): boolean {
    return this.#words[2 * TOLD + 1] === 1;
  }

  set lastDump(stored: boolean) {
    this.#words[2 * TOLD + 1] = stored ? 1 : 0;
  }

  get walk(): WalkState | undefined {
    return this.#words[1] === 0 ? undefined : this.lastWalk;
  }

  set walk(walk: WalkState | undefined) {
    if (walk !== undefined) {
      this.#longs[WALK] = walk.after;
      this.#longs[WALK + 1] = walk.upTo;
    }
    Atomics.store(this.#words, 1, walk === undefined ? 0 : 1);
  }

  /** The walk that is open, or the one that was closed last. */
  get lastWalk(): WalkState {
    return { after: this.#longs[WALK] ?? 0n, upTo: this.#longs[WALK + 1] ?? 0n };
  }

  get(type: StreamTypeName): { readonly id: bigint; readonly inode: number } | undefined {
    const at = streamAt(type);
    const id = this.#longs[at] ?? 0n;
    return id === 0n ? undefined : { id, inode: this.#numbers[at + 1] ?? 0 };
  }

  set(type: StreamTypeName, id: bigint, inode: number): void {
    const at = streamAt(type);
    this.#numbers[at + 1] = inode;
    Atomics.store(this.#longs, at, id);
  }

  missing(type: StreamTypeName): number {
    return this.#numbers[streamAt(type) + 2] ?? 0;
  }

  setMissing(type: StreamTypeName, bytes: number): void {
    this.#numbers[streamAt(type) + 2] = bytes;
  }

  /** The entry for a request, which still holds what was there before. */
  entry(queue: number, position: number): LedgerEntry {
    const entry = this.#entries[queue * LEDGER_SLOTS + (position % LEDGER_SLOTS)];
    if (entry === undefined) throw new RangeError(`queue ${queue}`);
    return entry;
  }

  get entries(): readonly LedgerEntry[] {
    return this.#entries;
  }

  /** The device was reset: nothing is under way, no boot has begun. */
  clear(): void {
    this.#bytes.fill(0, 0, LEDGER_BYTES);
  }
}

/** One request's place. */
export class LedgerEntry implements Intent {
  readonly #words: Uint32Array;
  readonly #longs: BigInt64Array;
  readonly #numbers: Float64Array;
  readonly #at: number;
  #type = 0;

  constructor(words: Uint32Array, longs: BigInt64Array, numbers: Float64Array, at: number) {
    this.#words = words;
    this.#longs = longs;
    this.#numbers = numbers;
    this.#at = at;
  }

  /** A request begins that has done nothing yet. */
  begin(position: number): void {
    this.#setKind(Kind.NONE);
    this.#words[2 * this.#at] = position;
  }

  /** The type of record that what follows is about. */
  of(type: RecordTypeName): this {
    this.#type = RECORD_TYPES.indexOf(type);
    return this;
  }

  dump(id: bigint, inode: number, mayBeLast: boolean): void {
    this.#note(Kind.DUMP, id, inode, mayBeLast ? 1 : 0);
  }

  append(id: bigint, before: number, bytes: number): void {
    this.#note(Kind.APPEND, id, before, bytes);
  }

  /** What append() told of is in the stream, and the stream says what was missing before it. */
  appended(): void {
    this.#setKind(Kind.APPENDED);
  }

  erase(id: bigint): void {
    this.#note(Kind.ERASE, id, 0, 0);
  }

  read(after: bigint): void {
    this.#note(Kind.READ, after, 0, 0);
  }

  /** The request at this position did nothing: done later it would come behind those that follow on it. */
  refuse(position: number, errno: number): void {
    this.begin(position);
    this.#note(Kind.REFUSED, 0n, errno, 0);
  }

  get position(): number {
    return this.#words[2 * this.#at] ?? 0;
  }

  /** What the request was about to do; undefined where it has nothing to do, or hasn't come to it. */
  get note(): Note | undefined {
    const type = typeAt(Number(this.#longs[this.#at + 1]));
    const id = this.#longs[this.#at + 2] ?? 0n;
    const one = this.#numbers[this.#at + 3] ?? 0;
    const other = this.#numbers[this.#at + 4] ?? 0;
    switch (this.#words[2 * this.#at + 1]) {
      case Kind.DUMP:
        return { kind: "dump", type, id, inode: one, mayBeLast: other === 1 };
      case Kind.APPEND:
        return { kind: "append", type, id, before: one, bytes: other };
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

  #note(kind: number, id: bigint, one: number, other: number): void {
    this.#longs[this.#at + 1] = BigInt(this.#type);
    this.#numbers[this.#at + 3] = one;
    this.#numbers[this.#at + 4] = other;
    // A record that gets another id has it here before it has it on disk.
    Atomics.store(this.#longs, this.#at + 2, id);
    this.#setKind(kind);
  }

  #setKind(kind: number): void {
    Atomics.store(this.#words, 2 * this.#at + 1, kind);
  }
}
