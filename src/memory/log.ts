import { formatMessage, type RecordLayout, readRecord } from "../formats/printk-record.js";
import { note } from "../records/note.js";
import { MemoryError } from "./errors.js";
import type { Budget } from "./kernel/budget.js";
import type { VmcoreInfo } from "./kernel/vmcore-info.js";

/** What a record costs beside its bytes, in units of the budget: a ring may claim millions that aren't there. */
const WORK_PER_RECORD = 0.5;

/** So many bytes of text cost as much as that: records that overlap could have the same text again and again. */
const TEXT_PER_WORK = 512;

/** Records that are read at once. */
const BATCH = 4096;

/** Rings with more records or more text than that are none. */
const MAX_COUNT_BITS = 24;
const MAX_SIZE_BITS = 31;

/** Descriptors and infos that are larger are none. */
const MAX_STRUCT_BYTES = 1024;

/** A batch's text that is longer is read record by record. */
const MAX_TEXT_BYTES = 8 << 20;

const ID_MASK = (1n << 62n) - 1n;

/** States of a descriptor: a reserved one is being written. */
const RESERVED = 0n;
const REUSABLE = 3n;

/** How often a record is read that changes meanwhile. */
const TRIES = 3;

/** One message can't be longer: a text's length has 16 bits, and each of its lines begins anew. */
const MAX_LINE_BYTES = 4 << 20;

/** A message as printk keeps it. */
export interface LogRecord {
  /** The number of the message since boot. */
  readonly seq: bigint;
  /** Facility and level, as in `<6>`. */
  readonly priority: number;
  /** Since boot. */
  readonly nanoseconds: bigint;
  readonly text: Buffer;
}

/** Messages of which nothing is to be had. */
export interface LostRecords {
  /** The number of the first. */
  readonly seq: bigint;
  readonly lost: number;
  /** They were overwritten, or they aren't whole: being written, or torn. */
  readonly why: "overwritten" | "not whole";
}

export type LogEntry = LogRecord | LostRecords;

/** What a log is read from: a Kernel, or what is known of one without it. Addresses are virtual. */
export interface LogSource {
  readonly info: VmcoreInfo;
  readonly budget: Budget;
  /** Throws MemoryError where nothing is mapped. */
  read(address: bigint, length: number): Buffer;
  pointer(address: bigint): bigint;
  u64(address: bigint): bigint;
  u32(address: bigint): number;
}

/** printk's ring in a guest's memory. Needs VMCOREINFO, but neither symbols nor types. */
export class KernelLog {
  readonly #kernel: LogSource;
  readonly #layout: Omit<RecordLayout, "first" | "position">;
  readonly #countBits: number;
  /** What is added to an id. */
  readonly #seqOfId0: bigint;
  readonly #at: {
    /** Of the pointer to the ring, and what it said. */
    readonly pointer: bigint;
    readonly ring: bigint;
    readonly descs: bigint;
    readonly infos: bigint;
    readonly text: bigint;
    /** Of the newest record's id; the oldest's. */
    readonly head: bigint;
    readonly tail: bigint;
  };

  /** Throws MemoryError where VMCOREINFO doesn't describe the ring (Linux before 5.10), or it makes no sense. */
  constructor(kernel: LogSource) {
    const { info } = kernel;
    this.#kernel = kernel;
    const pointer = info.expectSymbol("prb");
    const ring = kernel.pointer(pointer);
    const member = (...path: readonly string[]) =>
      path.reduce((at, name) => at + BigInt(info.expectOffset(name)), ring);
    const desc = (name: string) => member("printk_ringbuffer.desc_ring", `prb_desc_ring.${name}`);
    const text = (name: string) =>
      member("printk_ringbuffer.text_data_ring", `prb_data_ring.${name}`);
    this.#countBits = kernel.u32(desc("count_bits"));
    const sizeBits = kernel.u32(text("size_bits"));
    const position = info.expectOffset("prb_desc.text_blk_lpos");
    this.#layout = {
      sizeOf: { desc: info.expectSize("prb_desc"), info: info.expectSize("printk_info") },
      desc: {
        state: info.expectOffset("prb_desc.state_var"),
        begin: position + info.expectOffset("prb_data_blk_lpos.begin"),
        next: position + info.expectOffset("prb_data_blk_lpos.next"),
      },
      info: {
        seq: info.expectOffset("printk_info.seq"),
        time: info.expectOffset("printk_info.ts_nsec"),
        length: info.expectOffset("printk_info.text_len"),
      },
      sizeBits,
    };
    const { sizeOf, desc: inDesc, info: inInfo } = this.#layout;
    const isKnown =
      this.#countBits > 0 &&
      this.#countBits <= MAX_COUNT_BITS &&
      sizeBits > 0 &&
      sizeBits <= MAX_SIZE_BITS &&
      Math.max(sizeOf.desc, sizeOf.info) <= MAX_STRUCT_BYTES &&
      Math.max(inDesc.state, inDesc.begin, inDesc.next) + 8 <= sizeOf.desc &&
      Math.max(inInfo.seq, inInfo.time, inInfo.length) + 8 <= sizeOf.info;
    if (!isKnown) {
      throw new MemoryError(
        "DAMAGED",
        `the log: a ring of 2^${this.#countBits} records and 2^${sizeBits} bytes of text`,
      );
    }
    this.#at = {
      ...{ pointer, ring },
      descs: kernel.pointer(desc("descs")),
      infos: kernel.pointer(desc("infos")),
      text: kernel.pointer(text("data")),
      head: desc("head_id"),
      tail: desc("tail_id"),
    };
    this.#seqOfId0 = this.#findSeqOfId0();
  }

  /** One more than the newest message's number: 16 bytes are read. Throws MemoryError where the ring is gone. */
  get end(): bigint {
    if (this.#kernel.pointer(this.#at.pointer) !== this.#at.ring) {
      throw new MemoryError("DAMAGED", "the log: its ring isn't there any more");
    }
    return (this.#seq(this.#kernel.u64(this.#at.head)) + 1n) & ID_MASK;
  }

  /** The messages from the oldest or from that number on, up to the newest when this begins. */
  *entries(from = 0n, end = this.end): Generator<LogEntry, void, void> {
    const count = 1n << BigInt(this.#countBits);
    const oldest = this.#seq(this.#kernel.u64(this.#at.tail));
    // Until the ring was full once, the tail is before message 0, whose number is one more than the greatest.
    const begin = oldest < end && end - oldest <= count ? oldest : end > count ? end - count : 0n;
    if (from > 0n && from < begin && begin <= end) yield lost(from, begin - from, "overwritten");
    for (let seq = from > begin ? from : begin; seq < end; ) {
      const size = Math.min(BATCH, Number(end - seq));
      this.#kernel.budget.spend(size * WORK_PER_RECORD);
      yield* this.#batch(seq, size);
      seq += BigInt(size);
    }
  }

  /** Ids grow with the numbers, from an id on that isn't the same in all kernels. */
  #seq(id: bigint): bigint {
    return (id + this.#seqOfId0) & ID_MASK;
  }

  #id(seq: bigint): bigint {
    return (seq - this.#seqOfId0) & ID_MASK;
  }

  /** By the oldest message, unless it goes meanwhile; until the ring was full once, the tail is before message 0. */
  #findSeqOfId0(): bigint {
    const { info, desc, sizeOf } = this.#layout;
    const mask = (1n << BigInt(this.#countBits)) - 1n;
    for (let tries = 1; ; tries++) {
      const id = this.#kernel.u64(this.#at.tail);
      const [descAt, infoAt] = [sizeOf.desc, sizeOf.info].map((size) => (id & mask) * BigInt(size));
      const state = this.#kernel.u64(this.#at.descs + (descAt ?? 0n) + BigInt(desc.state)) >> 62n;
      const seq = this.#kernel.u64(this.#at.infos + (infoAt ?? 0n) + BigInt(info.seq));
      if (this.#kernel.u64(this.#at.tail) === id || tries === TRIES) {
        return (state === REUSABLE ? -1n : seq) - id;
      }
    }
  }

  *#batch(seq: bigint, size: number): Generator<LogEntry, void, void> {
    const read = this.#records(seq, size);
    for (let i = 0; i < size; i++) {
      const one = seq + BigInt(i);
      let found = read[i];
      // What changed while it was read, or didn't fit together, is read again by itself.
      for (let tries = 1; typeof found === "string" && tries < TRIES; tries++) {
        found = this.#records(one, 1)[0];
        // Alone: a part of it would keep all that was read for it.
        if (typeof found === "object") found = { ...found, text: Buffer.from(found.text) };
      }
      if (found === undefined || typeof found === "string") {
        yield lost(one, 1n, found ?? "not whole");
      } else {
        this.#kernel.budget.spend(found.text.length / TEXT_PER_WORK);
        // Each is a line to whoever shows it.
        for (let at = found.text.indexOf(0x0a); at >= 0; at = found.text.indexOf(0x0a, at + 1)) {
          this.#kernel.budget.spend(1);
        }
        yield found;
      }
    }
  }

  /** Reads descriptors before what they describe and again after it: what has the same state in both is of one time. */
  #records(seq: bigint, size: number): (LogRecord | LostRecords["why"])[] {
    const { sizeOf, desc } = this.#layout;
    const descs = this.#part(this.#at.descs, sizeOf.desc, seq, size);
    const infos = this.#part(this.#at.infos, sizeOf.info, seq, size);
    const states = Array.from({ length: size }, (_, i) =>
      descs.readBigUInt64LE(i * sizeOf.desc + desc.state),
    );
    const isOf = (state: bigint, i: number) => (state & ID_MASK) === this.#id(seq + BigInt(i));
    const { position, text } = this.#text(descs, states, isOf);
    const again = this.#part(this.#at.descs, sizeOf.desc, seq, size);
    const layout = { ...this.#layout, first: seq, position };
    return states.map((state, i) => {
      if (!isOf(state, i) || state >> 62n === REUSABLE) return "overwritten";
      if (again.readBigUInt64LE(i * sizeOf.desc + desc.state) !== state) return "overwritten";
      if (state >> 62n === RESERVED) return "not whole";
      const message = readRecord(layout, { descs, infos, text }, i);
      return message === undefined ? "not whole" : { seq: seq + BigInt(i), ...message };
    });
  }

  /** The text that the descriptors refer to, as one run of positions; empty where they don't fit together. */
  #text(
    descs: Buffer,
    states: readonly bigint[],
    isOf: (state: bigint, i: number) => boolean,
  ): { readonly position: bigint; readonly text: Buffer } {
    const { sizeOf, desc, sizeBits } = this.#layout;
    const size = 1n << BigInt(sizeBits);
    let first: bigint | undefined;
    let last = 0n;
    for (const [i, state] of states.entries()) {
      const begin = descs.readBigUInt64LE(i * sizeOf.desc + desc.begin);
      const next = descs.readBigUInt64LE(i * sizeOf.desc + desc.next);
      // Odd positions stand for no text.
      if (!isOf(state, i) || (begin & 1n) === 1n || (next & 1n) === 1n) continue;
      first ??= begin;
      // Positions wrap, with the machine's words.
      if (BigInt.asUintN(64, next - first) <= size) last = next;
    }
    const length = first === undefined ? 0n : BigInt.asUintN(64, last - first);
    if (first === undefined || length > size || length > BigInt(MAX_TEXT_BYTES)) {
      return { position: 0n, text: Buffer.alloc(0) };
    }
    const start = Number(first & (size - 1n));
    const total = Number(length);
    const before = Math.min(total, Number(size) - start);
    const text = Buffer.concat([
      this.#kernel.read(this.#at.text + BigInt(start), before),
      this.#kernel.read(this.#at.text, total - before),
    ]);
    return { position: first, text };
  }

  /** A run of a ring's elements. */
  #part(at: bigint, elementBytes: number, seq: bigint, size: number): Buffer {
    const count = 1 << this.#countBits;
    const start = Number(this.#id(seq) & BigInt(count - 1));
    const before = Math.min(size, count - start);
    const read = (index: number, length: number) =>
      this.#kernel.read(at + BigInt(index * elementBytes), length * elementBytes);
    return before === size
      ? read(start, size)
      : Buffer.concat([read(start, before), read(0, size - before)]);
  }
}

const lost = (seq: bigint, count: bigint, why: LostRecords["why"]): LostRecords => ({
  ...{ seq, why },
  lost: Number(count),
});

/** The entries as `dmesg -r` prints them; a string is a note of ours where messages are missing. */
export function* logText(entries: Iterable<LogEntry>): Generator<Buffer | string, void, void> {
  let missing = 0;
  for (const entry of entries) {
    if ("lost" in entry) {
      missing += entry.lost;
      continue;
    }
    if (missing > 0) yield note(`${missing} messages lost`);
    missing = 0;
    yield formatMessage(entry, MAX_LINE_BYTES) ?? note("a message that is too long");
  }
  if (missing > 0) yield note(`${missing} messages lost`);
}
