/** How records of printk's ring lie in copies of its parts (Linux, kernel/printk/printk_ringbuffer.h). */
export interface RecordLayout {
  readonly sizeOf: { readonly desc: number; readonly info: number };
  /** Offsets in a descriptor. */
  readonly desc: { readonly state: number; readonly begin: number; readonly next: number };
  /** Offsets in an info. */
  readonly info: { readonly seq: number; readonly time: number; readonly length: number };
  /** Number of the first record. */
  readonly first: bigint;
  /** Position of the text's first byte. */
  readonly position: bigint;
  /** Of the guest's ring: 2^sizeBits bytes of text. */
  readonly sizeBits: number;
}

/** States of a descriptor in whose block the text is whole (Linux, kernel/printk/printk_ringbuffer.h). */
const COMMITTED = 1n;
const FINALIZED = 2n;

/** The position of an empty message's text; 1 stands for a text that found no room. */
const EMPTY_LINE = 3n;

/** A block of text begins with its descriptor's id. */
const ID_BYTES = 8;

/** Descriptors, infos, and the text, as they were copied. */
export interface Sections {
  readonly descs: Buffer;
  readonly infos: Buffer;
  readonly text: Buffer;
}

export interface Message {
  /** Facility and level, as in `<6>`. */
  readonly priority: number;
  /** Since boot. */
  readonly nanoseconds: bigint;
  readonly text: Buffer;
}

/** The record of number `i` of those that were copied; undefined where it isn't whole. */
export function readRecord(
  layout: RecordLayout,
  { descs, infos, text }: Sections,
  i: number,
): Message | undefined {
  const desc = i * layout.sizeOf.desc;
  const info = i * layout.sizeOf.info;
  const stateVar = descs.readBigUInt64LE(desc + layout.desc.state);
  const state = stateVar >> 62n;
  const id = stateVar & ((1n << 62n) - 1n);
  if (state !== COMMITTED && state !== FINALIZED) return undefined;
  if (infos.readBigUInt64LE(info + layout.info.seq) !== layout.first + BigInt(i)) return undefined;
  const length = infos.readUInt16LE(info + layout.info.length);
  const message = {
    // A byte for the facility, then 5 bits of flags and 3 for the level (Linux, printk_ringbuffer.h).
    priority:
      infos.readUInt8(info + layout.info.length + 2) * 8 +
      (infos.readUInt8(info + layout.info.length + 3) >> 5),
    nanoseconds: infos.readBigUInt64LE(info + layout.info.time),
  };
  const begin = descs.readBigUInt64LE(desc + layout.desc.begin);
  if (begin === EMPTY_LINE) return { ...message, text: Buffer.alloc(0) };
  const next = descs.readBigUInt64LE(desc + layout.desc.next);
  const wrap = BigInt.asUintN(64, next - 1n) >> BigInt(layout.sizeBits);
  // A block that would go beyond the ring's end lies at its begin.
  const block = wrap === begin >> BigInt(layout.sizeBits) ? begin : wrap << BigInt(layout.sizeBits);
  const at = BigInt.asUintN(64, block - layout.position);
  const size = BigInt.asUintN(64, next - block);
  if (at + size > BigInt(text.length) || size < BigInt(ID_BYTES + length)) return undefined;
  const from = Number(at);
  if (text.readBigUInt64LE(from) !== id) return undefined;
  return { ...message, text: text.subarray(from + ID_BYTES, from + ID_BYTES + length) };
}

/** As the kernel's record_print_text() does: each line of a message begins anew. Undefined where that is too long. */
export function formatMessage(
  { priority, nanoseconds, text }: Message,
  mostBytes: number,
): Buffer | undefined {
  const seconds = String(nanoseconds / 1_000_000_000n).padStart(5);
  const microseconds = String((nanoseconds % 1_000_000_000n) / 1000n).padStart(6, "0");
  const prefix = `<${priority}>[${seconds}.${microseconds}] `;
  const lines = text.toString("latin1").split("\n");
  if (text.length + lines.length * (prefix.length + 1) > mostBytes) return undefined;
  return Buffer.from(lines.map((line) => `${prefix}${line}\n`).join(""), "latin1");
}
