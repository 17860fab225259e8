import { MemoryError } from "../errors.js";
import type { UserRegisters } from "../registers.js";
import { coreRegisters, MAX_NOTE_BYTES } from "./core-registers.js";
import { type Backing, MappedMemory, type Piece } from "./mapped-memory.js";

// Numbers and offsets from elf(5), ELF64 in little-endian order.
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PN_XNUM = 0xffff;

/** The most program headers that are read: QEMU writes one a region, the kernel and makedumpfile some ten more. */
const MAX_HEADERS = 1 << 16;

/** A physical address has 52 bits at most. /proc/kcore says all ones where there is none. */
const MAX_ADDRESS = 2 ** 52;

/** What a core says of a segment's part that isn't in the file (p_memsz above p_filesz). */
const ZEROS: Backing = {
  data: () => [],
  read: (_, into) => {
    into.fill(0);
  },
};

function damaged(what: string): MemoryError {
  return new MemoryError("DAMAGED", `the core is damaged: ${what}`);
}

/** A core as QEMU, the kernel's /proc/vmcore, `makedumpfile -E` and we write it: ELF64, of x86-64. */
export function elfCore(backing: Backing, close: () => void): MappedMemory {
  const header = Buffer.alloc(HEADER_BYTES);
  backing.read(0, header);
  if (header[4] !== 2 || header[5] !== 1) {
    throw new MemoryError("UNSUPPORTED", "an ELF file that isn't of 64 bits and little-endian");
  }
  if (header.readUInt16LE(16) !== ET_CORE) {
    throw new MemoryError("NOT_MEMORY", "an ELF file that is no core of a guest");
  }
  if (header.readUInt16LE(18) !== EM_X86_64) {
    throw new MemoryError("UNSUPPORTED", "a core of another processor than x86-64");
  }
  const segments = segmentsOf(backing, header);
  // A process's core, as the host's kernel writes it, has no physical addresses: user-mode-linux is a process.
  const loads = segments.filter((segment) => segment.readUInt32LE(0) === PT_LOAD);
  const isProcess = loads.length > 1 && loads.every((load) => load.readBigUInt64LE(24) === 0n);
  const addressAt = isProcess ? 16 : 24;
  const pieces = withoutOverlaps(loads.flatMap((load) => segmentPieces(backing, load, addressAt)));
  expectOwnBytes(pieces);
  return new MappedMemory(pieces, close, registersOf(backing, segments));
}

function segmentsOf(backing: Backing, header: Buffer): Buffer[] {
  if (header.readUInt16LE(54) !== PROGRAM_HEADER_BYTES) throw damaged("the program headers' size");
  const at = Number(header.readBigUInt64LE(32));
  const count = headerCount(backing, header);
  if (count > MAX_HEADERS) throw damaged(`${count} program headers`);
  if (!Number.isSafeInteger(at)) throw damaged("its program headers lie behind any file's end");
  const headers = Buffer.alloc(count * PROGRAM_HEADER_BYTES);
  backing.read(at, headers);
  return Array.from({ length: count }, (_, i) =>
    headers.subarray(i * PROGRAM_HEADER_BYTES, (i + 1) * PROGRAM_HEADER_BYTES),
  );
}

function registersOf(backing: Backing, segments: readonly Buffer[]): Map<number, UserRegisters> {
  const notes = segments.find((segment) => segment.readUInt32LE(0) === PT_NOTE);
  if (notes === undefined) return new Map();
  const [at, size] = [Number(notes.readBigUInt64LE(8)), Number(notes.readBigUInt64LE(32))];
  if (at > MAX_ADDRESS) return new Map();
  const bytes = Buffer.alloc(Math.min(size, MAX_NOTE_BYTES));
  backing.read(at, bytes);
  return coreRegisters(bytes);
}

/** Where e_phnum is too small for it, the count is in the first section's sh_info. */
function headerCount(backing: Backing, header: Buffer): number {
  const count = header.readUInt16LE(56);
  if (count !== PN_XNUM) return count;
  const at = Number(header.readBigUInt64LE(40));
  if (at === 0 || at > MAX_ADDRESS) return count;
  const section = Buffer.alloc(SECTION_HEADER_BYTES);
  backing.read(at, section);
  return section.readUInt32LE(44);
}

function segmentPieces(backing: Backing, header: Buffer, addressAt: number): Piece[] {
  const fields = [8, addressAt, 32, 40].map((at) => header.readBigUInt64LE(at));
  const [offset = 0, start = 0, held = 0, wanted = 0] = fields.map(Number);
  if (start >= MAX_ADDRESS) return [];
  const size = Math.max(held, wanted);
  // QEMU says all ones of a segment of which nothing is in the file.
  if (start + size > MAX_ADDRESS || (held > 0 && offset + held > MAX_ADDRESS)) {
    throw damaged(`a segment of ${size} bytes at ${start}`);
  }
  return [
    { start, size: held, backing, at: offset },
    { start: start + held, size: size - held, backing: ZEROS, at: 0 },
  ].filter((piece) => piece.size > 0);
}

/** The kernel's text has a segment of its own, of memory that another one has as well. */
function withoutOverlaps(pieces: readonly Piece[]): Piece[] {
  const sorted = [...pieces].sort((a, b) => a.start - b.start || b.size - a.size);
  const all: Piece[] = [];
  let end = 0;
  for (const { start, size, backing, at } of sorted) {
    const skipped = Math.max(0, end - start);
    if (skipped >= size) continue;
    all.push({ start: start + skipped, size: size - skipped, backing, at: at + skipped });
    end = start + size;
  }
  return all;
}

/** Else a small file could be as much memory as it likes, all of which would be looked through. */
function expectOwnBytes(pieces: readonly Piece[]): void {
  const inFile = pieces.filter(({ backing }) => backing !== ZEROS).sort((a, b) => a.at - b.at);
  let end = 0;
  for (const { at, size } of inFile) {
    if (at < end) throw damaged(`two segments have the same bytes of the file, from ${at} on`);
    end = at + size;
  }
}
