import { MemoryError } from "../errors.js";
import { type WriteOptions, writeNew } from "../output-file.js";
import type { Extent, PhysicalMemory } from "../physical-memory.js";
import type { CoreFacts } from "./core-facts.js";
import { coreNotes } from "./notes.js";
import { extentsOf, type LeftOut, PAGE_BYTES, pagesOf, regionsOf } from "./pages.js";

// Numbers and offsets from elf(5), ELF64 in little-endian order.
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_RWX = 7;
/** Their number has 16 bits, of which the last stands for more. */
const MAX_SEGMENTS = 0xfffe;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly virtual: bigint;
  readonly physical: number;
  readonly size: number;
}

/**
 * Writes an ELF core of the memory: a segment a region, at the kernel's own addresses, and one for its image. Pages of
 * zeros and those that are left out are holes in the file. Fails where `path` is there already.
 */
export async function writeElf(
  memory: PhysicalMemory,
  path: string,
  facts: CoreFacts | undefined,
  leftOut?: LeftOut,
  { stop, progress }: WriteOptions = {},
): Promise<void> {
  const regions = regionsOf(memory);
  const notes = facts === undefined ? Buffer.alloc(0) : coreNotes(facts);
  const count = regions.length + (facts === undefined ? 0 : 2);
  if (count > MAX_SEGMENTS) {
    throw new MemoryError(
      "UNSUPPORTED",
      `its memory is in ${regions.length} pieces, and an ELF core has ${MAX_SEGMENTS} at most: write a kdump-compressed one`,
    );
  }
  const notesAt = HEADER_BYTES + count * PROGRAM_HEADER_BYTES;
  let end = Math.ceil((notesAt + notes.length) / PAGE_BYTES) * PAGE_BYTES;
  const loads = regions.map(({ start, size }): Segment => {
    end += size;
    const virtual = facts === undefined ? 0n : facts.directMap + BigInt(start);
    return { type: PT_LOAD, offset: end - size, virtual, physical: start, size };
  });
  const segments =
    facts === undefined ? loads : [noteAt(notesAt, notes), ...imageOf(facts, loads), ...loads];
  await writeNew(
    path,
    async (file) => {
      file.setLength(end);
      file.write(0, headerOf(segments));
      file.write(notesAt, notes);
      const extents = extentsOf(memory);
      const tell = progressOf(extents, progress);
      let next = 0;
      for (const { address, bytes } of pagesOf(memory, extents, leftOut)) {
        let load = loads[next];
        while (load !== undefined && address >= load.physical + load.size) load = loads[++next];
        if (load === undefined) break;
        file.write(load.offset + address - load.physical, bytes);
        tell(address);
        await file.pause();
      }
    },
    stop,
  );
}

/** Tells how much of the extents lies before an address, which ascends. */
export function progressOf(
  extents: readonly Extent[],
  progress: WriteOptions["progress"],
): (address: number) => void {
  if (progress === undefined) return () => undefined;
  const total = extents.reduce((sum, { size }) => sum + size, 0);
  let next = 0;
  let before = 0;
  return (address) => {
    let extent = extents[next];
    while (extent !== undefined && address >= extent.start + extent.size) {
      before += extent.size;
      extent = extents[++next];
    }
    progress(before + Math.max(0, address - (extent?.start ?? address)), total);
  };
}

function noteAt(offset: number, notes: Buffer): Segment {
  return { type: PT_NOTE, offset, virtual: 0n, physical: 0, size: notes.length };
}

/** The kernel's image is in the file once, in its region. */
function imageOf({ image }: CoreFacts, loads: readonly Segment[]): Segment[] {
  const { virtual, physical, size } = image;
  const load = loads.find(
    (one) => physical >= one.physical && physical + size <= one.physical + one.size,
  );
  if (load === undefined) return [];
  const offset = load.offset + physical - load.physical;
  return [{ type: PT_LOAD, offset, virtual, physical, size }];
}

function headerOf(segments: readonly Segment[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES + segments.length * PROGRAM_HEADER_BYTES);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(ET_CORE, 16);
  header.writeUInt16LE(EM_X86_64, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  header.writeUInt16LE(HEADER_BYTES, 52);
  header.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  header.writeUInt16LE(segments.length, 56);
  segments.forEach(({ type, offset, virtual, physical, size }, i) => {
    const at = HEADER_BYTES + i * PROGRAM_HEADER_BYTES;
    header.writeUInt32LE(type, at);
    header.writeUInt32LE(type === PT_LOAD ? PF_RWX : 0, at + 4);
    header.writeBigUInt64LE(BigInt(offset), at + 8);
    header.writeBigUInt64LE(virtual, at + 16);
    header.writeBigUInt64LE(BigInt(physical), at + 24);
    header.writeBigUInt64LE(BigInt(size), at + 32);
    header.writeBigUInt64LE(BigInt(size), at + 40);
    header.writeBigUInt64LE(BigInt(type === PT_LOAD ? PAGE_BYTES : 4), at + 48);
  });
  return header;
}
