import { MemoryError, type MemoryErrorCode, tryToRead } from "./errors.js";
import { Budget } from "./kernel/budget.js";
import { VmcoreInfo } from "./kernel/vmcore-info.js";
import { KernelLog, type LogSource } from "./log.js";
import type { PhysicalMemory } from "./physical-memory.js";

const CHUNK_BYTES = 1 << 20;

/**
 * How struct printk_ringbuffer lies in memory since 5.10 (kernel/printk/printk_ringbuffer.h): count_bits and padding,
 * pointers to descriptors and infos, the newest and the oldest id; since 6.6 the last number that is whole; then
 * size_bits and padding, and a pointer to the text.
 */
const TEXT_RING_AT = [40, 48];
const RING_BYTES = 64;
const MIN_BITS = 3;
const MAX_COUNT_BITS = 24;
const MAX_SIZE_BITS = 31;

/** The pointer `prb` lies beside the ring that it points to, in the image's data. */
const NEAR_BYTES = 1 << 20;

const DESC_BYTES = 24;

/** An info: number, time, the text's length, and more that differs; in bytes. */
const MAX_INFO_BYTES = 256;

/** What a read costs, and what is done with what was read, in microseconds. */
const READ_WORK = 10;
const BYTES_PER_WORK = 1000;

const GIB = 2 ** 30;

const ID_MASK = (1n << 62n) - 1n;

interface Candidate {
  readonly physical: number;
  /** Of the text's ring, in the ring. */
  readonly textRingAt: number;
}

/** Not one candidate's fault: the search ends. */
const FATAL: readonly MemoryErrorCode[] = ["TOO_MUCH", "ENDED"];

/**
 * The log of a kernel that doesn't describe itself (yet): printk's ring is found by how it is built. Of several the one
 * with the most messages: a kernel that made a larger ring leaves its first one behind. Undefined where there is none.
 */
export function findLogRing(memory: PhysicalMemory): KernelLog | undefined {
  const budget = new Budget();
  const bounded: PhysicalMemory = {
    ...{ regions: memory.regions, extents: () => memory.extents(), close: () => undefined },
    read: (address, into) => {
      budget.spend(READ_WORK + into.length / BYTES_PER_WORK);
      return memory.read(address, into);
    },
  };
  let best: KernelLog | undefined;
  try {
    for (const candidate of ringsIn(memory)) {
      const log = logAt(bounded, budget, candidate);
      if (log !== undefined && (best === undefined || log.end > best.end)) best = log;
    }
  } catch (error) {
    // So many lies are no kernel's: what was found among them is all.
    if (!(error instanceof MemoryError && error.code === "TOO_MUCH")) throw error;
  }
  budget.renew();
  return best;
}

function* ringsIn(memory: PhysicalMemory): Generator<Candidate, void, void> {
  const chunk = Buffer.from(new ArrayBuffer(CHUNK_BYTES + RING_BYTES));
  const words = new Uint32Array(chunk.buffer);
  for (const { start, size } of memory.extents()) {
    for (let at = start; at < start + size; at += CHUNK_BYTES) {
      const length = memory.read(at, chunk.subarray(0, Math.min(chunk.length, start + size - at)));
      const last = Math.min(CHUNK_BYTES - 8, length - RING_BYTES);
      for (let i = 0; i * 4 <= last; i += 2) {
        const bits = words[i] ?? 0;
        if (bits < MIN_BITS || bits > MAX_COUNT_BITS || words[i + 1] !== 0) continue;
        // Both pointers lead to the same 4 GiB, and ids have 62 bits.
        if (words[i + 3] !== words[i + 5] || ((words[i + 7] ?? 0) | (words[i + 9] ?? 0)) >>> 30 > 0)
          continue;
        const textRingAt = textRingOf(chunk.subarray(i * 4, i * 4 + RING_BYTES));
        if (textRingAt !== undefined) yield { physical: at + i * 4, textRingAt };
      }
    }
  }
}

/** Where in it the text's ring is; undefined where it is no ring. */
function textRingOf(ring: Buffer): number | undefined {
  const count = 1n << BigInt(ring.readUInt32LE(0));
  const [descs, infos, head, tail] = [8, 16, 24, 32].map((at) => ring.readBigUInt64LE(at));
  if (descs === undefined || infos === undefined || head === undefined || tail === undefined) {
    return undefined;
  }
  if (descs === 0n || infos === 0n || descs === infos || descs % 8n > 0n || infos % 8n > 0n) {
    return undefined;
  }
  if (((head - tail) & ID_MASK) >= count || head === tail) return undefined;
  return TEXT_RING_AT.find((at) => {
    const bits = ring.readUInt32LE(at);
    const data = ring.readBigUInt64LE(at + 8);
    return (
      bits >= MIN_BITS &&
      bits <= MAX_SIZE_BITS &&
      ring.readUInt32LE(at + 4) === 0 &&
      data >> 32n === descs >> 32n
    );
  });
}

function logAt(
  memory: PhysicalMemory,
  budget: Budget,
  candidate: Candidate,
): KernelLog | undefined {
  for (const { pointer, target } of pointersTo(memory, candidate.physical)) {
    const image = target - BigInt(candidate.physical);
    for (const shift of shiftsOfParts(memory, candidate, image)) {
      const log = tryToRead(
        () => openLog(memory, budget, candidate, { pointer, image, shift }),
        FATAL,
      );
      if (log !== undefined) return log;
    }
  }
  return undefined;
}

/**
 * What may be between kernel addresses and physical ones where the ring's parts are: those of the image's own ring are
 * in it; a larger one's are in the direct map, which begins at a whole GiB.
 */
function* shiftsOfParts(
  memory: PhysicalMemory,
  { physical }: Candidate,
  image: bigint,
): Generator<bigint, void, void> {
  const ring = readPhysical(memory, physical, RING_BYTES);
  const descs = ring.readBigUInt64LE(8);
  const tail = ring.readBigUInt64LE(32);
  const index = tail & ((1n << BigInt(ring.readUInt32LE(0))) - 1n);
  const isThere = (shift: bigint) =>
    tryToRead(() => {
      const desc = readPhysical(memory, descs + index * BigInt(DESC_BYTES) - shift, 8);
      return (desc.readBigUInt64LE(0) & ID_MASK) === tail;
    }, FATAL);
  if (isThere(image) === true) yield image;
  for (const { start, size } of memory.regions) {
    for (let base = start - (start % GIB); base < start + size; base += GIB) {
      const shift = descs - (descs % BigInt(GIB)) - BigInt(base);
      if (isThere(shift) === true) yield shift;
    }
  }
}

/** Words near an address that may be its pointer: images lie at whole pages. */
function* pointersTo(
  memory: PhysicalMemory,
  physical: number,
): Generator<{ readonly pointer: number; readonly target: bigint }, void, void> {
  const start = Math.max(0, physical - (physical % 8) - NEAR_BYTES);
  const near = Buffer.alloc(2 * NEAR_BYTES);
  const length = memory.read(start, near);
  const low = physical % 4096;
  for (let i = 0; i + 8 <= length; i += 8) {
    if ((near.readUInt16LE(i) & 4095) !== low) continue;
    const target = near.readBigUInt64LE(i);
    if (target !== 0n) yield { pointer: start + i, target };
  }
}

interface Place {
  /** Physical address of `prb`. */
  readonly pointer: number;
  /** What kernel addresses in the image are above the physical ones, and those of the ring's parts. */
  readonly image: bigint;
  readonly shift: bigint;
}

function openLog(
  memory: PhysicalMemory,
  budget: Budget,
  { physical, textRingAt }: Candidate,
  { pointer, image, shift }: Place,
): KernelLog | undefined {
  const target = BigInt(physical) + image;
  const read = (virtual: bigint, length: number): Buffer => {
    const isInImage = virtual >> 30n === target >> 30n;
    return readPhysical(memory, virtual - (isInImage ? image : shift), length);
  };
  const u64 = (virtual: bigint) => read(virtual, 8).readBigUInt64LE(0);
  const infoBytes = sizeOfInfo(read(u64(target + 16n), 2 * MAX_INFO_BYTES + 8));
  if (infoBytes === undefined) return undefined;
  const info = new VmcoreInfo(
    [
      `SYMBOL(prb)=${(BigInt(pointer) + image).toString(16)}`,
      ...["OFFSET(printk_ringbuffer.desc_ring)=0", "OFFSET(prb_desc_ring.count_bits)=0"],
      ...["OFFSET(prb_desc_ring.descs)=8", "OFFSET(prb_desc_ring.infos)=16"],
      ...["OFFSET(prb_desc_ring.head_id)=24", "OFFSET(prb_desc_ring.tail_id)=32"],
      `OFFSET(printk_ringbuffer.text_data_ring)=${textRingAt}`,
      ...["OFFSET(prb_data_ring.size_bits)=0", "OFFSET(prb_data_ring.data)=8"],
      ...[
        `SIZE(prb_desc)=${DESC_BYTES}`,
        "OFFSET(prb_desc.state_var)=0",
        "OFFSET(prb_desc.text_blk_lpos)=8",
      ],
      ...["OFFSET(prb_data_blk_lpos.begin)=0", "OFFSET(prb_data_blk_lpos.next)=8"],
      ...[`SIZE(printk_info)=${infoBytes}`, "OFFSET(printk_info.seq)=0"],
      ...["OFFSET(printk_info.ts_nsec)=8", "OFFSET(printk_info.text_len)=16"],
    ].join("\n"),
  );
  const source: LogSource = {
    ...{ info, budget, read, u64, pointer: u64 },
    u32: (virtual) => read(virtual, 4).readUInt32LE(0),
  };
  const log = new KernelLog(source);
  for (const entry of log.entries()) if ("text" in entry) return log;
  return undefined;
}

/** Infos that follow each other have numbers that do, too. Of one message alone nothing is known. */
function sizeOfInfo(infos: Buffer): number | undefined {
  const first = infos.readBigUInt64LE(0);
  for (let size = 24; size <= MAX_INFO_BYTES; size += 8) {
    const [second, third] = [size, 2 * size].map((at) => infos.readBigUInt64LE(at));
    if (second !== first + 1n) continue;
    // The ring may have come round behind either.
    if (third === second + 1n || third === 0n || (third ?? 0n) < first) return size;
  }
  return undefined;
}

function readPhysical(memory: PhysicalMemory, at: number | bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (at < 0 || at >= 2 ** 52 || memory.read(Number(at), bytes) < length) {
    throw new MemoryError("NOT_MAPPED", `nothing is at ${at}`);
  }
  return bytes;
}
