import {
  RECORD_TYPES,
  type RecordName,
  type RecordTypeName,
  type StreamTypeName,
} from "../../records/record-name.js";
import { type Effect, ENTRY_WORDS, JournalEntry, type JournalMemory } from "./journal-entry.js";

/** Requests of one queue that can be under way at a time. */
export const MAX_UNDER_WAY = 64;

/** The device's queues: their number is part of the layout. */
export const QUEUE_COUNT = 3;

/**
 * The layout, in words of 8 bytes. The session's file has its version (src/service/session/session-file.ts).
 *
 * | word | content |
 * |---|---|
 * | 0 | the boot has begun u32, the walk is open u32 |
 * | 1, 2 | the walk: the id of the record that was returned last, and of its last one |
 * | 3 to 5 | the console: its file's record id i64 and inode f64, bytes that are missing f64 |
 * | 6 to 8 | pmsg, likewise |
 * | 9 to 968 | the entries: of each queue as many as can be under way |
 * | 969 | queues whose start was logged u32; what may be the guest's last dump was stored u32 |
 * | 970 | the type of the record that the walk returned last u32: 1 + its place among RECORD_TYPES, or 0 |
 */
const BEGUN = 0;
const WALK_OPEN = 1;
const WALK = 1;
const STREAMS = 3;
const STREAM_WORDS = 3;
const ENTRIES = 9;
const STARTED = ENTRIES + ENTRY_WORDS * MAX_UNDER_WAY * QUEUE_COUNT;
const WALK_TYPE = STARTED + 1;
const JOURNAL_BYTES = 8 * (WALK_TYPE + 1);

/** A walk over the records. */
export interface Walk {
  /** The record that was returned last, or a place before which all were. */
  readonly after: Pick<RecordName, "type" | "id">;
  /** The id of its last one. */
  readonly upTo: bigint;
}

/** What a request is about. */
export interface RequestSubject {
  readonly kind: string;
  readonly type?: RecordTypeName;
  readonly id?: bigint;
}

const LAST_TYPE: RecordTypeName = RECORD_TYPES.at(-1) ?? "pmsg";

/**
 * A guest's requests that are under way, in memory that outlives this process: what each is about to do, and beside
 * that the boot, its streams and the walk. After a kill the next process learns from it which of them were done. To
 * note something costs stores to memory and no system call.
 */
export class RequestJournal {
  readonly #memory: JournalMemory;
  /** Entries that this process began: they say nothing of a former one. */
  readonly #own = new Uint8Array(MAX_UNDER_WAY * QUEUE_COUNT);

  /** Memory that is zeroed, or that a former process's journal had. */
  constructor(memory: Uint8Array<ArrayBuffer> = new Uint8Array(JOURNAL_BYTES)) {
    const { buffer, byteOffset } = memory;
    this.#memory = {
      bytes: memory,
      words: new Uint32Array(buffer, byteOffset, JOURNAL_BYTES / 4),
      longs: new BigInt64Array(buffer, byteOffset, JOURNAL_BYTES / 8),
      numbers: new Float64Array(buffer, byteOffset, JOURNAL_BYTES / 8),
    };
  }

  /**
   * The errno, or 0, of a request that a former process did or refused, and died before it was answered. Undefined
   * where it is to be done, be it again.
   */
  resultOf(queue: number, position: number, request: RequestSubject): number | undefined {
    const index = indexOf(queue, position);
    const entry = this.#entry(index);
    const effect = this.#own[index] === 0 ? entry.effect : undefined;
    // A guest may have changed its memory since: then it is another request.
    if (effect === undefined || entry.position !== position || !isOf(effect, request)) {
      return undefined;
    }
    if (effect.kind === "refused") return effect.errno;
    if (effect.kind !== "read") return 0;
    const { upTo } = this.#lastWalk;
    this.walk = { after: { id: effect.after, type: LAST_TYPE }, upTo };
    return undefined;
  }

  /** A request begins that has done nothing yet. */
  begin(queue: number, position: number): JournalEntry {
    const index = indexOf(queue, position);
    this.#own[index] = 1;
    const entry = this.#entry(index);
    entry.begin(position);
    return entry;
  }

  /** The boot has begun: the driver made a request since the last reset. */
  get begun(): boolean {
    return this.#memory.words[BEGUN] !== 0;
  }

  set begun(begun: boolean) {
    this.#memory.words[BEGUN] = begun ? 1 : 0;
  }

  /** Undefined where none is open. */
  get walk(): Walk | undefined {
    return this.#memory.words[WALK_OPEN] === 0 ? undefined : this.#lastWalk;
  }

  set walk(walk: Walk | undefined) {
    const { words, longs } = this.#memory;
    if (walk !== undefined) {
      longs[WALK] = walk.after.id;
      longs[WALK + 1] = walk.upTo;
      words[2 * WALK_TYPE] = 1 + RECORD_TYPES.indexOf(walk.after.type);
    }
    Atomics.store(words, WALK_OPEN, walk === undefined ? 0 : 1);
  }

  /** Bit N: it was logged that the driver has started with queue N. */
  get startedQueues(): number {
    return this.#memory.words[2 * STARTED] ?? 0;
  }

  set startedQueues(queues: number) {
    this.#memory.words[2 * STARTED] = queues;
  }

  /** A dump was stored behind which the guest may end. */
  get lastDump(): boolean {
    return this.#memory.words[2 * STARTED + 1] === 1;
  }

  /** The request's dump is durable. */
  stored({ effect }: JournalEntry): void {
    if (effect?.kind === "dump" && effect.mayBeLast) this.#memory.words[2 * STARTED + 1] = 1;
  }

  /** The file that the boot's stream is at; undefined where it has none. */
  streamFile(type: StreamTypeName): { readonly id: bigint; readonly inode: number } | undefined {
    const at = streamAt(type);
    const id = this.#memory.longs[at] ?? 0n;
    return id === 0n ? undefined : { id, inode: this.#memory.numbers[at + 1] ?? 0 };
  }

  /** A file with this inode is the stream's, or about to be, under the name that goes with `id`. */
  setStreamFile(type: StreamTypeName, id: bigint, inode: number): void {
    const at = streamAt(type);
    this.#memory.numbers[at + 1] = inode;
    Atomics.store(this.#memory.longs, at, id);
  }

  /** Bytes that the guest sent since the last ones that are in the stream. */
  missing(type: StreamTypeName): number {
    return this.#memory.numbers[streamAt(type) + 2] ?? 0;
  }

  setMissing(type: StreamTypeName, bytes: number): void {
    this.#memory.numbers[streamAt(type) + 2] = bytes;
  }

  /** The entries of all requests that can be under way. */
  *entries(): Iterable<JournalEntry> {
    for (let index = 0; index < this.#own.length; index++) yield this.#entry(index);
  }

  /** The device was reset: nothing is under way, no boot has begun. */
  clear(): void {
    this.#memory.bytes.fill(0, 0, JOURNAL_BYTES);
  }

  /** The walk that is open, or the one that was closed last. */
  get #lastWalk(): Walk {
    const { words, longs } = this.#memory;
    const type = RECORD_TYPES[(words[2 * WALK_TYPE] ?? 0) - 1] ?? LAST_TYPE;
    return { after: { id: longs[WALK] ?? 0n, type }, upTo: longs[WALK + 1] ?? 0n };
  }

  #entry(index: number): JournalEntry {
    return new JournalEntry(this.#memory, ENTRIES + index * ENTRY_WORDS);
  }
}

/** Which entry a request has. */
function indexOf(queue: number, position: number): number {
  if (queue >= QUEUE_COUNT) throw new RangeError(`queue ${queue}`);
  return queue * MAX_UNDER_WAY + (position % MAX_UNDER_WAY);
}

const streamAt = (type: StreamTypeName): number =>
  STREAMS + (type === "console" ? 0 : STREAM_WORDS);

function isOf(effect: Effect, request: RequestSubject): boolean {
  switch (effect.kind) {
    case "dump":
      return request.kind === "dump" && request.type === effect.type;
    case "appending":
    case "appended":
      return request.kind === "stream" && request.type === effect.type;
    case "erase":
      return request.kind === "erase" && request.type === effect.type && request.id === effect.id;
    case "read":
      return request.kind === "read";
    case "refused":
      return true;
  }
}
