import type { OutputFile } from "../output-file.js";
import { BYTES, EM_X86_64, ET_EXEC, PF, PT_LOAD, SHF, SHT } from "./elf-numbers.js";

/** A section, and where in the file it goes is found while it is written. */
export interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  /** In bytes. */
  readonly size: number;
  /** What is in it, in pieces with their places in it; what isn't said is zeros. */
  pieces(): Iterable<readonly [at: number, bytes: Uint8Array]>;
  /** The section that it belongs to: of .symtab, the one with the names. */
  readonly link?: string;
  /** Of .symtab, how many symbols are local. */
  readonly info?: number;
  readonly entryBytes?: number;
}

const PAGE_BYTES = 4096;
const SECTION_NAMES = ".shstrtab";

/** Writes an ELF file of x86-64 that is linked for its addresses. @returns its bytes. */
export async function writeElfFile(
  file: OutputFile,
  sections: readonly Section[],
): Promise<number> {
  const names = Buffer.from(
    `\0${[...sections.map(({ name }) => name), SECTION_NAMES].join("\0")}\0`,
  );
  const all = [...sections, bytesSection(SECTION_NAMES, SHT.STRTAB, names)];
  const loaded = inOrder(all.filter(({ flags }) => (flags & SHF.ALLOC) !== 0));
  let end = aligned(BYTES.header + loaded.length * BYTES.programHeader);
  const headers = Buffer.alloc(BYTES.sectionHeader * (all.length + 1));
  const segments = Buffer.alloc(loaded.length * BYTES.programHeader);
  let nameAt = 1;
  for (const [i, section] of all.entries()) {
    const link = all.findIndex(({ name }) => name === section.link) + 1;
    // An offset and its address are the same within a page, so that the file can be mapped.
    const start = end + Number(section.address % BigInt(PAGE_BYTES));
    putSection(headers.subarray((i + 1) * BYTES.sectionHeader), section, nameAt, start, link);
    nameAt += section.name.length + 1;
    const segment = loaded.indexOf(section);
    if (segment >= 0) putSegment(segments.subarray(segment * BYTES.programHeader), section, start);
    for (const [at, bytes] of section.pieces()) {
      file.write(start + at, bytes);
      await file.pause();
    }
    if (section.type !== SHT.NOBITS) end = aligned(start + section.size);
  }
  file.setLength(end + headers.length);
  file.write(end, headers);
  file.write(BYTES.header, segments);
  file.write(0, header(end, all.length + 1, loaded.length));
  return end + headers.length;
}

/** One that isn't of the image. */
export function bytesSection(name: string, type: number, bytes: Buffer): Section {
  const pieces = () => [[0, bytes] as const];
  return { name, type, flags: 0, address: 0n, size: bytes.length, pieces };
}

/**
 * As the kernel's linker script orders segments: drgn takes the first one's begin and the last one's end for the
 * image's, so that a per-CPU section that is linked to 0 comes between them.
 */
function inOrder(loaded: readonly Section[]): readonly Section[] {
  const isHigh = ({ address }: Section) => address >> 63n !== 0n;
  const [first, ...others] = loaded.filter(isHigh);
  const low = loaded.filter((one) => !isHigh(one));
  return first === undefined ? low : [first, ...low, ...others];
}

const aligned = (at: number): number => Math.ceil(at / PAGE_BYTES) * PAGE_BYTES;

function putSection(
  into: Buffer,
  section: Section,
  nameAt: number,
  offset: number,
  link: number,
): void {
  const { type, flags, address, size, info = 0, entryBytes = 0 } = section;
  into.writeUInt32LE(nameAt, 0);
  into.writeUInt32LE(type, 4);
  into.writeBigUInt64LE(BigInt(flags), 8);
  into.writeBigUInt64LE(address, 16);
  into.writeBigUInt64LE(BigInt(offset), 24);
  into.writeBigUInt64LE(BigInt(size), 32);
  into.writeUInt32LE(link, 40);
  into.writeUInt32LE(info, 44);
  // Notes are aligned to 4 bytes, which readers ask for; else nothing is.
  into.writeBigUInt64LE(type === SHT.NOTE ? 4n : 1n, 48);
  into.writeBigUInt64LE(BigInt(entryBytes), 56);
}

function putSegment(into: Buffer, { type, flags, address, size }: Section, offset: number): void {
  const access =
    PF.READ | ((flags & SHF.EXEC) === 0 ? 0 : PF.EXEC) | ((flags & SHF.WRITE) === 0 ? 0 : PF.WRITE);
  into.writeUInt32LE(PT_LOAD, 0);
  into.writeUInt32LE(access, 4);
  into.writeBigUInt64LE(BigInt(offset), 8);
  into.writeBigUInt64LE(address, 16);
  into.writeBigUInt64LE(address, 24);
  into.writeBigUInt64LE(BigInt(type === SHT.NOBITS ? 0 : size), 32);
  into.writeBigUInt64LE(BigInt(size), 40);
  into.writeBigUInt64LE(BigInt(PAGE_BYTES), 48);
}

function header(sectionsAt: number, sections: number, segments: number): Buffer {
  const bytes = Buffer.alloc(BYTES.header);
  // 64 bits, little-endian, version 1.
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(ET_EXEC, 16);
  bytes.writeUInt16LE(EM_X86_64, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(BYTES.header), 32);
  bytes.writeBigUInt64LE(BigInt(sectionsAt), 40);
  bytes.writeUInt16LE(BYTES.header, 52);
  bytes.writeUInt16LE(BYTES.programHeader, 54);
  bytes.writeUInt16LE(segments, 56);
  bytes.writeUInt16LE(BYTES.sectionHeader, 58);
  bytes.writeUInt16LE(sections, 60);
  bytes.writeUInt16LE(sections - 1, 62);
  return bytes;
}
