import { ftruncateSync } from "node:fs";
import { createMemfd, Mapping } from "../native/index.js";
import { HEADER_BYTES, MAX_PAYLOAD_BYTES } from "../vhost-user/index.js";

/**
 * What outlives a daemon of one guest's state, in a memory file. Only a process that is killed is
 * survived, not the host's end, so plain stores are enough: all that were executed are seen by the next
 * process. Where several belong together, one last store makes them count.
 *
 * | offset | content |
 * |---|---|
 * | 0 | format u32, the slot that counts u32, 1 + the id of the last record that was told u64, intake u64 |
 * | 64 | the message that is being received |
 * | 8K | the part of it that is being taken off the socket |
 * | 16K | the device's own |
 * | 48K | how far the guest's rates are used up, f64 each (src/store/rate-limit.ts) |
 * | 64K, 192K | two slots: sequence u32, length u32, then as many bytes of text |
 */
const FORMAT = 0x70730001;
const ACTIVE = 1;
const TOLD = 1;
const INTAKE = 2;
const MESSAGE = 64;
const INCOMING = 8192;
const DEVICE = 16384;
const DEVICE_BYTES = 32768;
const RATES = 49152;
const RATES_BYTES = 16384;
const SLOT_BYTES = 131072;
const SLOTS = [65536, 65536 + SLOT_BYTES] as const;
const FILE_BYTES = 65536 + 2 * SLOT_BYTES;

/** How far the message that is being received is. */
export interface Intake {
  /** Its number: of the message behind the last one that is done, or else there is nothing of it. */
  readonly sequence: number;
  /** Bytes of it that are there. */
  readonly filled: number;
  /** Bytes behind them that may just have been taken off the socket. */
  readonly pending: number;
}

/** What counts: how many messages are done, and the session's state after them. Empty: no session. */
export interface Committed {
  readonly sequence: number;
  readonly text: string;
}

export class KeptFile {
  readonly message: Buffer;
  readonly incoming: Buffer;
  readonly device: Uint8Array<ArrayBuffer>;
  readonly rateLevels: Float64Array;
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #longs: BigInt64Array;

  /** A file that create() made, in any process. Throws where it is of another format. */
  constructor(fd: number) {
    const memory = new Mapping(fd, 0n, BigInt(FILE_BYTES)).view(0n, FILE_BYTES);
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory, 0, 2);
    this.#longs = new BigInt64Array(memory, 0, 3);
    if (this.#words[0] === 0) this.#words[0] = FORMAT;
    if (this.#words[0] !== FORMAT) throw new Error("the kept state is of another version");
    this.message = Buffer.from(memory, MESSAGE, HEADER_BYTES + MAX_PAYLOAD_BYTES);
    this.incoming = Buffer.from(memory, INCOMING, HEADER_BYTES + MAX_PAYLOAD_BYTES);
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

  get intake(): Intake {
    const word = Atomics.load(this.#longs, INTAKE);
    return {
      sequence: Number((word >> 32n) & 0xffffffffn),
      filled: Number((word >> 16n) & 0xffffn),
      pending: Number(word & 0xffffn),
    };
  }

  set intake({ sequence, filled, pending }: Intake) {
    const word = (BigInt(sequence) << 32n) | BigInt(filled << 16) | BigInt(pending);
    Atomics.store(this.#longs, INTAKE, BigInt.asIntN(64, word));
  }

  /** The id of the last stored record that the operator was told of; undefined in a new file. */
  get told(): bigint | undefined {
    const next = Atomics.load(this.#longs, TOLD);
    return next === 0n ? undefined : next - 1n;
  }

  set told(id: bigint) {
    Atomics.store(this.#longs, TOLD, id + 1n);
  }
}
