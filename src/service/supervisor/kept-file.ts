import { ftruncateSync } from "node:fs";
import { createMemfd, Mapping, NotedReceive } from "../../os/index.js";
import { HEADER_BYTES, MAX_PAYLOAD_BYTES } from "../../virtio/vhost-user/index.js";

/**
 * What outlives a daemon of one guest's state, in a memory file. Only a process that is killed is
 * survived, not the host's end, so plain stores are enough: all that were executed are seen by the next
 * process. Where several belong together, one last store makes them count.
 *
 * | offset | content |
 * |---|---|
 * | 0 | format u32, the slot that counts u32, 1 + the id of the last record that was told u64, intake u64 |
 * | 64 | the message that is being received |
 * | 8K | what the kernel noted of its part that was received last |
 * | 16K | the device's own |
 * | 48K | how far the guest's rates are used up, f64 each (src/store/rate-limit.ts) |
 * | 64K, 192K | two slots: sequence u32, length u32, then as many bytes of text |
 */
const FORMAT = 0x70730002;
const ACTIVE = 1;
const TOLD = 1;
const INTAKE = 2;
const MESSAGE = 64;
const NOTE = 8192;
const DEVICE = 16384;
const DEVICE_BYTES = 32768;
const RATES = 49152;
const RATES_BYTES = 16384;
const SLOT_BYTES = 131072;
const SLOTS = [65536, 65536 + SLOT_BYTES] as const;
const FILE_BYTES = 65536 + 2 * SLOT_BYTES;

/** In the intake's word, below sequence u32 and filled u16: the kernel's note tells what else came. */
const RECEIVING = 1n;
const HAS_DESCRIPTORS = 2n;

/** How far the message that is being received is. */
export interface Intake {
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

export class KeptFile {
  readonly message: Buffer;
  readonly device: Uint8Array<ArrayBuffer>;
  readonly rateLevels: Float64Array;
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #longs: BigInt64Array;
  readonly #received: NotedReceive;

  /** A file that create() made, in any process. Throws where it is of another format. */
  constructor(fd: number) {
    const mapping = new Mapping(fd, 0n, BigInt(FILE_BYTES));
    const memory = mapping.view(0n, FILE_BYTES);
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory, 0, 2);
    this.#longs = new BigInt64Array(memory, 0, 3);
    if (this.#words[0] === 0) this.#words[0] = FORMAT;
    if (this.#words[0] !== FORMAT) throw new Error("the kept state is of another version");
    this.message = Buffer.from(memory, MESSAGE, HEADER_BYTES + MAX_PAYLOAD_BYTES);
    this.#received = new NotedReceive(mapping, BigInt(NOTE));
    this.device = new Uint8Array(memory, DEVICE, DEVICE_BYTES);
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
  get intake(): Intake {
    const word = Atomics.load(this.#longs, INTAKE);
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
   * Receives bytes of the message from where it is up to byte `end` at most: `intake` tells how many came, none
   * at the end of the stream. False where none wait. Descriptors are closed.
   */
  receive(fd: number, from: Intake, end: number): boolean {
    // What is noted counts no more from here on.
    this.#setIntake(from, 0n);
    this.#received.prepare(BigInt(MESSAGE + from.filled), end - from.filled);
    this.#setIntake(from, RECEIVING);
    return this.#received.receive(fd);
  }

  #setIntake({ sequence, filled, hasDescriptors }: Intake, receiving: bigint): void {
    const flags = receiving | (hasDescriptors ? HAS_DESCRIPTORS : 0n);
    const word = (BigInt(sequence) << 32n) | BigInt(filled << 16) | flags;
    Atomics.store(this.#longs, INTAKE, BigInt.asIntN(64, word));
  }

  /** The id of the last stored record that the operator was told of; undefined where the directory is new. */
  get told(): bigint | undefined {
    const next = Atomics.load(this.#longs, TOLD);
    return next === 0n ? undefined : next - 1n;
  }

  set told(id: bigint | undefined) {
    Atomics.store(this.#longs, TOLD, id === undefined ? 0n : id + 1n);
  }
}
