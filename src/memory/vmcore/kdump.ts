import { KDUMP } from "../kdump-format.js";
import { type OutputFile, type WriteOptions, writeNew } from "../output-file.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { UTS_FIELD_BYTES } from "../utsname.js";
import type { Compression } from "./compress.js";
import type { PagePacker } from "./compress-pool.js";
import type { CoreFacts } from "./core-facts.js";
import { progressOf } from "./elf.js";
import { coreNotes } from "./notes.js";
import { extentsOf, type LeftOut, PAGE_BYTES, pagesOf, pagesUpToEnd, regionsOf } from "./pages.js";

const { HEADER, SUB_HEADER, DESCRIPTOR } = KDUMP;

/** So many pages are compressed as one piece of work. */
const BATCH_PAGES = 256;

/** What the sub-header says was left out (makedumpfile's dump levels). */
const LEVEL_ZERO = 1;

export interface KdumpOptions extends WriteOptions {
  readonly compression: Compression;
  readonly packer: PagePacker;
  /** What else was left out than pages of zeros, as a dump level of makedumpfile. */
  readonly level?: number;
}

const blocks = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);

/**
 * Writes a kdump-compressed core of the memory, without pages of zeros and those that are left out. Fails where `path`
 * is there already.
 */
export async function writeKdump(
  memory: PhysicalMemory,
  path: string,
  facts: CoreFacts | undefined,
  leftOut: LeftOut | undefined,
  options: KdumpOptions,
): Promise<void> {
  await writeNew(
    path,
    async (file) => {
      await new KdumpWriter(file, memory, facts, options).write(memory, leftOut);
    },
    options.stop,
  );
}

class KdumpWriter {
  readonly #file: OutputFile;
  readonly #options: KdumpOptions;
  readonly #flag: number;
  readonly #bitmapAt: number;
  readonly #bitmapBytes: number;
  /** What is memory, then what is in the file. */
  readonly #bitmaps: Buffer;
  #count = 0;
  #end = 0;

  constructor(
    file: OutputFile,
    memory: PhysicalMemory,
    facts: CoreFacts | undefined,
    options: KdumpOptions,
  ) {
    this.#file = file;
    this.#options = options;
    this.#flag = options.compression === "zlib" ? KDUMP.ZLIB : KDUMP.ZSTD;
    const regions = regionsOf(memory);
    const maxPages = pagesUpToEnd(regions);
    this.#bitmapBytes = blocks(Math.ceil(maxPages / 8)) * PAGE_BYTES;
    this.#bitmaps = Buffer.alloc(2 * this.#bitmapBytes);
    for (const { start, size } of regions) {
      this.#markRun(start / PAGE_BYTES, (start + size) / PAGE_BYTES);
    }
    this.#bitmapAt = this.#writeHeaders(maxPages, facts);
  }

  async write(memory: PhysicalMemory, leftOut: LeftOut | undefined): Promise<void> {
    const extents = extentsOf(memory);
    const descriptorsAt = this.#bitmapAt + 2 * this.#bitmapBytes;
    const most = extents.reduce((sum, { size }) => sum + size, 0) / PAGE_BYTES;
    // The descriptors come first, for as many pages as there may be: what isn't needed of that stays a hole.
    this.#end = blocks(descriptorsAt + most * DESCRIPTOR.bytes) * PAGE_BYTES;
    const { packer, progress } = this.#options;
    const tell = progressOf(extents, progress);
    const underWay = new Set<Promise<void>>();
    try {
      for (const { pages, address } of this.#batches(memory, extents, leftOut)) {
        const first = descriptorsAt + (this.#count - pages.length / PAGE_BYTES) * DESCRIPTOR.bytes;
        const done: Promise<void> = packer.pack(pages).then(({ bytes, sizes }) => {
          underWay.delete(done);
          this.#writePages(first, bytes, sizes);
        });
        underWay.add(done);
        // It is told below, which may be later than Node waits for somebody to look at it.
        void done.catch(() => undefined);
        if (underWay.size >= packer.width) await Promise.race(underWay);
        tell(address);
        await this.#file.pause();
      }
      await Promise.all(underWay);
    } catch (error) {
      await Promise.allSettled(underWay);
      throw error;
    }
    this.#file.write(this.#bitmapAt, this.#bitmaps);
    this.#file.setLength(this.#end);
  }

  /** The pages to write, copied, and marked as such. */
  *#batches(
    memory: PhysicalMemory,
    extents: ReturnType<typeof extentsOf>,
    leftOut: LeftOut | undefined,
  ): Generator<{ readonly pages: Uint8Array; readonly address: number }, void, void> {
    let pages = new Uint8Array(BATCH_PAGES * PAGE_BYTES);
    let filled = 0;
    let last = 0;
    for (const { address, bytes } of pagesOf(memory, extents, leftOut)) {
      last = address;
      for (let done = 0; done < bytes.length; ) {
        const count = Math.min(bytes.length - done, pages.length - filled);
        pages.set(bytes.subarray(done, done + count), filled);
        for (let at = 0; at < count; at += PAGE_BYTES) {
          this.#mark(this.#bitmapBytes, (address + done + at) / PAGE_BYTES);
          this.#count++;
        }
        filled += count;
        done += count;
        if (filled < pages.length) continue;
        yield { pages, address };
        pages = new Uint8Array(BATCH_PAGES * PAGE_BYTES);
        filled = 0;
      }
    }
    if (filled > 0) yield { pages: pages.slice(0, filled), address: last };
  }

  /** Marks pages as memory. */
  #markRun(first: number, end: number): void {
    let page = first;
    for (; page < end && page % 8 !== 0; page++) this.#mark(0, page);
    const whole = end - (end % 8);
    if (page < whole) {
      this.#bitmaps.fill(0xff, page / 8, whole / 8);
      page = whole;
    }
    for (; page < end; page++) this.#mark(0, page);
  }

  #mark(from: number, page: number): void {
    const at = from + Math.floor(page / 8);
    this.#bitmaps[at] = (this.#bitmaps[at] ?? 0) | (1 << (page % 8));
  }

  #writePages(descriptorsAt: number, bytes: Uint8Array, sizes: Uint32Array): void {
    const descriptors = Buffer.alloc(sizes.length * DESCRIPTOR.bytes);
    let at = this.#end;
    sizes.forEach((size, i) => {
      const one = i * DESCRIPTOR.bytes;
      descriptors.writeBigUInt64LE(BigInt(at), one + DESCRIPTOR.offset);
      descriptors.writeUInt32LE(size, one + DESCRIPTOR.size);
      descriptors.writeUInt32LE(size === PAGE_BYTES ? 0 : this.#flag, one + DESCRIPTOR.flags);
      at += size;
    });
    this.#file.write(this.#end, bytes);
    this.#file.write(descriptorsAt, descriptors);
    this.#end = at;
  }

  /** Writes header, sub-header and notes. @returns where the bitmaps begin. */
  #writeHeaders(maxPages: number, facts: CoreFacts | undefined): number {
    const notes = facts === undefined ? Buffer.alloc(0) : coreNotes(facts);
    const info = facts?.vmcoreInfo ?? Buffer.alloc(0);
    const noteAt = PAGE_BYTES + SUB_HEADER.bytes;
    // It is the last of the notes. makedumpfile copies only these when it filters the core once more.
    const infoAt = noteAt + notes.length - Math.ceil(info.length / 4) * 4;
    const subBlocks = blocks(noteAt + notes.length) - 1;
    const header = Buffer.alloc(HEADER.bytes);
    header.write(KDUMP.SIGNATURE, "latin1");
    header.writeInt32LE(KDUMP.VERSION, HEADER.version);
    const uts = facts?.uts ?? ["Linux", "", "", "", "x86_64", ""];
    uts.forEach((text, i) => {
      header.write(text, HEADER.uts + i * UTS_FIELD_BYTES, UTS_FIELD_BYTES - 1, "latin1");
    });
    header.writeBigInt64LE(BigInt(Math.floor(Date.now() / 1000)), HEADER.seconds);
    header.writeUInt32LE(this.#flag, HEADER.status);
    header.writeInt32LE(PAGE_BYTES, HEADER.blockBytes);
    header.writeInt32LE(subBlocks, HEADER.subHeaderBlocks);
    header.writeUInt32LE(blocks(this.#bitmaps.length), HEADER.bitmapBlocks);
    header.writeUInt32LE(Math.min(maxPages, 0xffffffff), HEADER.maxPages);
    header.writeInt32LE(facts?.registers.length ?? 0, HEADER.cpus);
    const sub = Buffer.alloc(SUB_HEADER.bytes);
    sub.writeBigInt64LE(facts?.physBase ?? 0n, SUB_HEADER.physBase);
    sub.writeInt32LE(this.#options.level ?? LEVEL_ZERO, SUB_HEADER.level);
    if (facts !== undefined) {
      sub.writeBigUInt64LE(BigInt(infoAt), SUB_HEADER.vmcoreInfoAt);
      sub.writeBigUInt64LE(BigInt(info.length), SUB_HEADER.vmcoreInfoBytes);
      sub.writeBigUInt64LE(BigInt(noteAt), SUB_HEADER.noteAt);
      sub.writeBigUInt64LE(BigInt(notes.length), SUB_HEADER.noteBytes);
    }
    sub.writeBigUInt64LE(BigInt(maxPages), SUB_HEADER.endPage);
    sub.writeBigUInt64LE(BigInt(maxPages), SUB_HEADER.maxPages);
    this.#file.write(0, header);
    this.#file.write(PAGE_BYTES, sub);
    this.#file.write(noteAt, notes);
    return (1 + subBlocks) * PAGE_BYTES;
  }
}
