import { expectArgument, expectNumber, MAX_U32 } from "./arguments.js";
import { VirtqueueError } from "./errors.js";

/** struct QueueRegionSplit of vhost-user.rst: features u64, version u16, desc_num u16, last_batch_head u16, used_idx u16. */
const VERSION_AT = 8;
const DESC_NUM_AT = 10;
const LAST_BATCH_HEAD_AT = 12;
const USED_IDX_AT = 14;
const HEADER_BYTES = 16;
const VERSION = 1;

/** struct DescStateSplit: inflight u8, padding, next u16, counter u64. */
const STATE_BYTES = 16;
const NEXT_AT = 6;
const COUNTER_AT = 8;

/** A head is less than 2^15. */
const HEAD_BITS = 15;
const HEAD_MASK = (1 << HEAD_BITS) - 1;

/** Each queue's region begins at a multiple of a cache line. */
const ALIGNMENT = 64;

/** Bytes of one queue's region. */
export const inflightBytes = (queueSize: number): number =>
  Math.ceil((HEADER_BYTES + STATE_BYTES * queueSize) / ALIGNMENT) * ALIGNMENT;

/**
 * Which chains of a split virtqueue are in flight, in memory that the front-end keeps
 * (vhost-user, "Inflight I/O tracking"): a back-end that it connects to next takes them again.
 */
export class InflightRegion {
  readonly #view: DataView;
  /** The same as 32-bit words. */
  readonly #words: Uint32Array;
  readonly #size: number;
  #counter = 0n;

  /** Throws ArgumentError; or VirtqueueError where the region is too short, or was used for a queue of another size. */
  constructor(memory: ArrayBuffer, offset: number, queueSize: number) {
    expectArgument(memory instanceof ArrayBuffer, "memory", memory, "an ArrayBuffer");
    expectNumber(offset, "offset", 0, Number.MAX_SAFE_INTEGER);
    expectNumber(queueSize, "queueSize", 0, MAX_U32);
    if (offset + inflightBytes(queueSize) > memory.byteLength) {
      throw new VirtqueueError("BAD_REGION", "the inflight region is too short for the queue");
    }
    this.#view = new DataView(memory, offset, inflightBytes(queueSize));
    this.#words = new Uint32Array(memory, offset, inflightBytes(queueSize) / 4);
    this.#size = queueSize;
    if (this.#view.getUint16(VERSION_AT, true) === 0) {
      this.#view.setUint16(VERSION_AT, VERSION, true);
      this.#view.setUint16(DESC_NUM_AT, queueSize, true);
    }
    if (
      this.#view.getUint16(VERSION_AT, true) !== VERSION ||
      this.#view.getUint16(DESC_NUM_AT, true) !== queueSize
    ) {
      throw new VirtqueueError("BAD_REGION", "the inflight region is another queue's");
    }
  }

  /**
   * Goes on where a former back-end ended: how many chains were taken and not given back. A front-end can say that of
   * 32,768, and have the ring begin anew as often as it likes: so nothing is allocated here.
   */
  recover(usedIndex: number): number {
    let given = (usedIndex - this.#view.getUint16(USED_IDX_AT, true)) & 0xffff;
    let head = this.#view.getUint16(LAST_BATCH_HEAD_AT, true);
    // The batch that was given back just before its back-end died.
    for (; given > 0 && given <= this.#size && head < this.#size; given--) {
      this.#setInflight(head, 0);
      head = this.#view.getUint16(this.#at(head) + NEXT_AT, true);
    }
    this.#view.setUint16(USED_IDX_AT, usedIndex, true);
    let count = 0;
    for (let i = 0; i < this.#size; i++) if (this.#isInflight(i)) count++;
    return count;
  }

  /** Their heads, in the order in which they were taken. What is taken from now on comes behind them. */
  heads(): Uint16Array {
    // Of each the counter's lower 49 bits, and the head behind them.
    const keys = new Uint32Array(2 * this.#size);
    let count = 0;
    for (let i = 0, at = HEADER_BYTES / 4; i < this.#size; i++, at += STATE_BYTES / 4) {
      if (!this.#isInflight(i)) continue;
      const low = this.#words[at + COUNTER_AT / 4] ?? 0;
      const high = this.#words[at + COUNTER_AT / 4 + 1] ?? 0;
      keys[2 * count] = (low << HEAD_BITS) | i;
      keys[2 * count + 1] = (high << HEAD_BITS) | (low >>> (32 - HEAD_BITS));
      count++;
    }
    const sorted = new BigUint64Array(keys.buffer, 0, count).sort();
    this.#counter = ((sorted.at(-1) ?? 0n) >> BigInt(HEAD_BITS)) + 1n;
    const heads = new Uint16Array(count);
    for (let i = 0; i < count; i++) heads[i] = (keys[2 * i] ?? 0) & HEAD_MASK;
    return heads;
  }

  /** A chain is taken. */
  take(head: number): void {
    this.#view.setBigUint64(this.#at(head) + COUNTER_AT, this.#counter, true);
    this.#counter = BigInt.asUintN(64, this.#counter + 1n);
    this.#setInflight(head, 1);
  }

  /** These are about to be given back, by one store to the used ring's index. */
  batch(heads: readonly number[]): void {
    for (const head of heads) {
      const last = this.#view.getUint16(LAST_BATCH_HEAD_AT, true);
      this.#view.setUint16(this.#at(head) + NEXT_AT, last, true);
      this.#view.setUint16(LAST_BATCH_HEAD_AT, head, true);
    }
  }

  /** They were. */
  given(heads: readonly number[], usedIndex: number): void {
    for (const head of heads) this.#setInflight(head, 0);
    this.#view.setUint16(USED_IDX_AT, usedIndex, true);
  }

  #at(head: number): number {
    return HEADER_BYTES + head * STATE_BYTES;
  }

  #isInflight(head: number): boolean {
    return ((this.#words[(HEADER_BYTES + head * STATE_BYTES) / 4] ?? 0) & 0xff) === 1;
  }

  #setInflight(head: number, inflight: number): void {
    this.#view.setUint8(this.#at(head), inflight);
  }
}
