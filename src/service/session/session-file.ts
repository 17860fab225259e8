import { ftruncateSync, readSync } from "node:fs";
import { createMemfd, Mapping, NotedReceive } from "../../os/index.js";
import { HEADER_BYTES, MAX_PAYLOAD_BYTES } from "../../virtio/vhost-user/index.js";

/**
 * What outlives a daemon of one guest's state, in a memory file. Only a process that is killed is
 * survived, not the host's end, so plain stores are enough: all that were executed are seen by the next
 * process. Where several belong together, one last store makes them count.
 *
 * | offset | content |
 * |---|---|
 * | 0 | version u32, the slot that counts u32, 1 + the id of the last record that was logged u64, progress of the message u64 |
 * | 64 | the message that is being received |
 * | 8K | what the kernel noted of its part that was received last |
 * | 16K | the journal of requests (src/store/journal/request-journal.ts) |
 * | 48K | how far the guest's rates are used up, f64 each (src/store/rate-limit.ts) |
 * | 64K, 192K | two slots: sequence u32, length u32, then as many bytes of text |
 */
const VERSION = 0x70730003;
/** Version 2 has the same layout. Only the text of a session's state differs (state-text.ts). */
const VERSION_BEFORE = 0x70730002;
/** Of a file that create() has just made. */
const NO_VERSION = 0;
const READABLE: readonly number[] = [NO_VERSION, VERSION_BEFORE, VERSION];
const ACTIVE = 1;
const LOGGED = 1;
const PROGRESS = 2;
const MESSAGE = 64;
const NOTE = 8192;
const JOURNAL = 16384;
const JOURNAL_BYTES = 32768;
const RATES = 49152;
const RATES_BYTES = 16384;
const SLOT_BYTES = 131072;
const SLOTS = [65536, 65536 + SLOT_BYTES] as const;
const FILE_BYTES = 65536 + 2 * SLOT_BYTES;

/** In the word of progress, below sequence u32 and filled u16: the kernel's note tells what else came. */
const RECEIVING = 1n;
const HAS_DESCRIPTORS = 2n;

/** How far the message that is being received is. */
export interface MessageProgress {
  /** Its number: of the message behind the last one that is done, or else there is nothing of it. */
  readonly sequence: number;
  /** Bytes of it that are there. */
  readonly filled: number;
  /** Whether descriptors came with its first byte. */
  readonly hasDescriptors: boolean;
}

/** What counts: how many messages are done, and the session's state after them. Empty: no session. */
export interface Committed {
  readonly sequence: number;
  readonly text: string;
}

/** Whether the session's file with this descriptor is of a version that is read here. */
export function isReadable(fd: number): boolean {
  const version = Buffer.alloc(4);
  readSync(fd, version, 0, 4, 0);
  return READABLE.includes(version.readUInt32LE());
}

/** See the table above. */
export class SessionFile {
  readonly message: Buffer;
  readonly journal: Uint8Array<ArrayBuffer>;
  readonly rateLevels: Float64Array;
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #longs: BigInt64Array;
  readonly #received: NotedReceive;

  /** A file that create() made, in any process, and that isReadable(). */
  constructor(fd: number) {
    const mapping = new Mapping(fd, 0n, BigInt(FILE_BYTES));
    const memory = mapping.view(0n, FILE_BYTES);
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory, 0, 2);
    this.#longs = new BigInt64Array(memory, 0, 3);
    this.#words[0] = VERSION;
    this.message = Buffer.from(memory, MESSAGE, HEADER_BYTES + MAX_PAYLOAD_BYTES);
    this.#received = new NotedReceive(mapping, BigInt(NOTE));
    this.journal = new Uint8Array(memory, JOURNAL, JOURNAL_BYTES);
    this.rateLevels = new Float64Array(memory, RATES, RATES_BYTES / 8);
  }

  static create(): number {
    const fd = createMemfd("virtio-pstore-state");
    ftruncateSync(fd, FILE_BYTES);
    return fd;
  }

  get committed(): Committed {
    const slot = SLOTS[this.#words[ACTIVE] === 0 ? 0 : 1];
    const length = this.#bytes.readUInt32LE(slot + 4);
    const sequence = this.#bytes.readUInt32LE(slot);
    return { sequence, text: this.#bytes.toString("utf8", slot + 8, slot + 8 + length) };
  }

  commit({ sequence, text }: Committed): void {
    const next = this.#words[ACTIVE] === 0 ? 1 : 0;
    const slot = SLOTS[next];
    const length = this.#bytes.write(text, slot + 8, SLOT_BYTES - 8);
    this.#bytes.writeUInt32LE(sequence, slot);
    this.#bytes.writeUInt32LE(length, slot + 4);
    Atomics.store(this.#words, ACTIVE, next);
  }

  /** Where a process died amid receive(), too. */
  get progress(): MessageProgress {
    const word = Atomics.load(this.#longs, PROGRESS);
    const sequence = Number((word >> 32n) & 0xffffffffn);
    const filled = Number((word >> 16n) & 0xffffn);
    const hasDescriptors = (word & HAS_DESCRIPTORS) !== 0n;
    if ((word & RECEIVING) === 0n) return { sequence, filled, hasDescriptors };
    return {
      sequence,
      filled: filled + this.#received.bytes,
      hasDescriptors: filled === 0 ? this.#received.descriptors : hasDescriptors,
    };
  }

  /**
   * Receives bytes of the message from where it is up to byte `end` at most: `progress` tells how many came, none
   * at the end of the stream. False where none wait. Descriptors are closed.
   */
  receive(fd: number, from: MessageProgress, end: number): boolean {
    // What is noted counts no more from here on.
    this.#setProgress(from, 0n);
    this.#received.prepare(BigInt(MESSAGE + from.filled), end - from.filled);
    this.#setProgress(from, RECEIVING);
    return this.#received.receive(fd);
  }

  #setProgress({ sequence, filled, hasDescriptors }: MessageProgress, receiving: bigint): void {
    const flags = receiving | (hasDescriptors ? HAS_DESCRIPTORS : 0n);
    const word = (BigInt(sequence) << 32n) | BigInt(filled << 16) | flags;
    Atomics.store(this.#longs, PROGRESS, BigInt.asIntN(64, word));
  }

  /** The id of the last record whose being stored was logged; undefined where the directory is new. */
  get loggedId(): bigint | undefined {
    const next = Atomics.load(this.#longs, LOGGED);
    return next === 0n ? undefined : next - 1n;
  }

  set loggedId(id: bigint | undefined) {
    Atomics.store(this.#longs, LOGGED, id === undefined ? 0n : id + 1n);
  }
}
