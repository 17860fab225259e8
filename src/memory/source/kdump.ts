import { decodeLzo } from "../../formats/compression/lzo.js";
import { decodeSnappy } from "../../formats/compression/snappy.js";
import { decodeZstd } from "../../formats/compression/zstd.js";
import { zlib } from "../../os/builtins.js";
import { MemoryError, tryToRead } from "../errors.js";
import { firstEndingBehind } from "../extents.js";
import { KDUMP } from "../kdump-format.js";
import type { Extent, PhysicalMemory } from "../physical-memory.js";
import type { UserRegisters } from "../registers.js";
import { UTS_FIELD_BYTES } from "../utsname.js";
import { coreRegisters, MAX_NOTE_BYTES } from "./core-registers.js";
import type { Backing } from "./mapped-memory.js";
import { PageCache } from "./page-cache.js";

const { HEADER, SUB_HEADER, DESCRIPTOR } = KDUMP;

/** A bit a page: memory up to 4 TiB. A header that claims more would have us allocate without end. */
const MAX_BITMAP_BYTES = 128 << 20;
const MAX_BLOCK_BYTES = 65536;
/** The most runs of pages that are told apart. What was left out behind them reads as zeros, one by one. */
const MAX_RUNS = 1 << 18;
/** The bits up to the begin of each of these are counted once, so that a page's descriptor is found at once. */
const COUNTED_BYTES = 512;
const NO_BITS = Buffer.alloc(COUNTED_BYTES);
const ALL_BITS = Buffer.alloc(COUNTED_BYTES, 0xff);

/** Before, a sub-header doesn't say where the notes are. */
const NOTES_SINCE_VERSION = 4;
const MAX_NOTES_AT = 2 ** 52;

/** What uname(2) calls other processors. */
const OTHER_MACHINES = /^(?:aarch64|arm|i[3-6]86|ia64|loongarch|mips|ppc|riscv|s390|sparc)/;

function damaged(what: string): MemoryError {
  return new MemoryError("DAMAGED", `the core is damaged: ${what}`);
}

/** A core in the kdump-compressed format, of makedumpfile, QEMU, or ours. What was left out reads as zeros. */
export class KdumpCore implements PhysicalMemory {
  readonly regions: readonly Extent[];
  readonly registers: ReadonlyMap<number, UserRegisters>;
  readonly #file: Backing;
  readonly #close: () => void;
  readonly #pageBytes: number;
  /** Where the page descriptors begin. */
  readonly #descriptors: number;
  readonly #dumped: Bitmap;
  readonly #extents: readonly Extent[];
  readonly #pages = new PageCache();
  /** By their offsets in the file: makedumpfile has all pages of zeros at one. */
  readonly #unpacked = new PageCache();

  constructor(file: Backing, close: () => void) {
    this.#file = file;
    this.#close = close;
    const header = Buffer.alloc(HEADER.bytes);
    file.read(0, header);
    const machine = header.toString(
      "latin1",
      HEADER.uts + 4 * UTS_FIELD_BYTES,
      HEADER.uts + 5 * UTS_FIELD_BYTES,
    );
    // QEMU 11 says "Unknown".
    if (OTHER_MACHINES.test(machine)) {
      throw new MemoryError("UNSUPPORTED", "a core of another processor than x86-64");
    }
    const pageBytes = header.readInt32LE(HEADER.blockBytes);
    const subBlocks = header.readInt32LE(HEADER.subHeaderBlocks);
    const isPower = pageBytes > 0 && (pageBytes & (pageBytes - 1)) === 0;
    if (!isPower || pageBytes < 4096 || pageBytes > MAX_BLOCK_BYTES) {
      throw damaged(`blocks of ${pageBytes} bytes`);
    }
    if (subBlocks < 1 || subBlocks > 1 << 20) throw damaged(`a sub-header of ${subBlocks} blocks`);
    const sub = Buffer.alloc(SUB_HEADER.bytes);
    file.read(pageBytes, sub);
    if (header.readInt32LE(HEADER.version) >= 2 && sub.readInt32LE(SUB_HEADER.split) !== 0) {
      throw new MemoryError(
        "UNSUPPORTED",
        "one part of a core that was split: join them with makedumpfile --reassemble",
      );
    }
    this.#pageBytes = pageBytes;
    const bitmapBytes = header.readUInt32LE(HEADER.bitmapBlocks) * pageBytes;
    const bitmapAt = (1 + subBlocks) * pageBytes;
    if (bitmapBytes / 2 > MAX_BITMAP_BYTES) throw damaged(`bitmaps of ${bitmapBytes} bytes`);
    // Where the file ends before that, nothing is allocated.
    if (bitmapBytes > 0) file.read(bitmapAt + bitmapBytes - 1, Buffer.alloc(1));
    const bits = Buffer.alloc(bitmapBytes / 2);
    file.read(bitmapAt, bits);
    this.regions = this.#bytes(runsOf(bits));
    // What is memory is known now; what of it is in the file takes its place.
    file.read(bitmapAt + bits.length, bits);
    this.#extents = this.#bytes(runsOf(bits));
    this.#dumped = new Bitmap(bits);
    this.#descriptors = bitmapAt + bitmapBytes;
    this.registers = tryToRead(() => registersOf(file, header, sub)) ?? new Map();
  }

  extents(): Extent[] {
    return [...this.#extents];
  }

  read(address: number, into: Buffer): number {
    const region = this.regions[firstEndingBehind(this.regions, address)];
    if (region === undefined || address < region.start) return 0;
    const total = Math.min(into.length, region.start + region.size - address);
    for (let done = 0; done < total; ) {
      const page = Math.floor((address + done) / this.#pageBytes);
      const from = (address + done) % this.#pageBytes;
      const count = Math.min(total - done, this.#pageBytes - from);
      if (this.#dumped.has(page)) this.#page(page).copy(into, done, from, from + count);
      else into.fill(0, done, done + count);
      done += count;
    }
    return total;
  }

  close(): void {
    this.#close();
  }

  #bytes(runs: readonly Extent[]): Extent[] {
    const bytes = this.#pageBytes;
    return runs.map(({ start, size }) => ({ start: start * bytes, size: size * bytes }));
  }

  #page(page: number): Buffer {
    return this.#pages.get(page, () => {
      const descriptor = Buffer.alloc(DESCRIPTOR.bytes);
      const at = this.#descriptors + this.#dumped.countBefore(page) * DESCRIPTOR.bytes;
      this.#file.read(at, descriptor);
      const offset = descriptor.readBigUInt64LE(DESCRIPTOR.offset);
      const size = descriptor.readUInt32LE(DESCRIPTOR.size);
      if (size > 2 * this.#pageBytes || offset > 2n ** 52n) {
        throw damaged(`page ${page} is said to have ${size} bytes at ${offset}`);
      }
      const flags = descriptor.readUInt32LE(DESCRIPTOR.flags);
      return this.#unpacked.get(Number(offset), () => {
        const packed = Buffer.alloc(size);
        this.#file.read(Number(offset), packed);
        const plain = unpack(packed, flags, this.#pageBytes);
        if (plain?.length !== this.#pageBytes) throw damaged(`page ${page} can't be decompressed`);
        return plain;
      });
    });
  }
}

function unpack(packed: Buffer, flags: number, pageBytes: number): Buffer | undefined {
  if ((flags & KDUMP.ZLIB) !== 0) return inflated(packed, pageBytes);
  if ((flags & KDUMP.LZO) !== 0) return decodeLzo(packed, pageBytes).text;
  if ((flags & KDUMP.SNAPPY) !== 0) return decodeSnappy(packed, pageBytes).text;
  if ((flags & KDUMP.ZSTD) !== 0) return decodeZstd(packed, pageBytes).text;
  return packed;
}

function inflated(packed: Buffer, maxOutputLength: number): Buffer | undefined {
  try {
    return zlib().inflateSync(packed, { maxOutputLength });
  } catch {
    return undefined;
  }
}

/** Its notes are those of an ELF core. */
function registersOf(file: Backing, header: Buffer, sub: Buffer): Map<number, UserRegisters> {
  if (header.readInt32LE(HEADER.version) < NOTES_SINCE_VERSION) return new Map();
  const at = Number(sub.readBigUInt64LE(SUB_HEADER.noteAt));
  const size = Number(sub.readBigUInt64LE(SUB_HEADER.noteBytes));
  if (at > MAX_NOTES_AT) return new Map();
  const notes = Buffer.alloc(Math.min(size, MAX_NOTE_BYTES));
  file.read(at, notes);
  return coreRegisters(notes);
}

/** A bit a page, the lowest of a byte first. */
class Bitmap {
  readonly #bits: Buffer;
  readonly #before: Uint32Array;

  constructor(bits: Buffer) {
    this.#bits = bits;
    this.#before = new Uint32Array(Math.ceil(bits.length / COUNTED_BYTES) + 1);
    for (let i = 1; i < this.#before.length; i++) {
      const from = (i - 1) * COUNTED_BYTES;
      // Most of a large bitmap: a guest's memory has holes.
      const isEmpty = bits.compare(NO_BITS, 0, COUNTED_BYTES, from, from + COUNTED_BYTES) === 0;
      const ones = isEmpty ? 0 : this.#count(from, from + COUNTED_BYTES);
      this.#before[i] = (this.#before[i - 1] ?? 0) + ones;
    }
  }

  has(page: number): boolean {
    return isSetIn(this.#bits, page);
  }

  countBefore(page: number): number {
    const byte = Math.floor(page / 8);
    const block = Math.floor(byte / COUNTED_BYTES);
    const last = (this.#bits[byte] ?? 0) & ((1 << (page % 8)) - 1);
    return (
      (this.#before[block] ?? 0) + this.#count(block * COUNTED_BYTES, byte) + (ONES[last] ?? 0)
    );
  }

  #count(from: number, to: number): number {
    let sum = 0;
    for (let i = from; i < Math.min(to, this.#bits.length); i++)
      sum += ONES[this.#bits[i] ?? 0] ?? 0;
    return sum;
  }
}

/** The runs of set bits, in pages. */
function runsOf(bits: Buffer): Extent[] {
  const runs: Extent[] = [];
  let start = -1;
  const pages = bits.length * 8;
  for (let page = 0; page <= pages; page++) {
    if (page % 8 === 0) page = 8 * endOfSame(bits, page / 8, start < 0 ? 0 : 0xff);
    const isSet = page < pages && isSetIn(bits, page);
    if (isSet === start >= 0) continue;
    if (!isSet) {
      runs.push({ start, size: page - start });
      start = -1;
      continue;
    }
    start = page;
    if (runs.length === MAX_RUNS) return [...runs, { start, size: pages - start }];
  }
  return runs;
}

const isSetIn = (bits: Buffer, page: number): boolean =>
  (((bits[Math.floor(page / 8)] ?? 0) >> (page % 8)) & 1) === 1;

/** Where what begins at byte `from` ends to be all `byte`: a guest's memory is a few long runs, with long holes. */
function endOfSame(bits: Buffer, from: number, byte: 0 | 0xff): number {
  const block = byte === 0 ? NO_BITS : ALL_BITS;
  let at = from;
  while (at + COUNTED_BYTES <= bits.length) {
    if (bits.compare(block, 0, COUNTED_BYTES, at, at + COUNTED_BYTES) !== 0) break;
    at += COUNTED_BYTES;
  }
  while (at < bits.length && bits[at] === byte) at++;
  return at;
}

/** How many bits of a byte are set. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let sum = 0;
  for (let rest = byte; rest !== 0; rest >>= 1) sum += rest & 1;
  return sum;
});
