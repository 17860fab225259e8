import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { SymbolsError } from "./errors.js";
import { type KernelSymbol, SymbolTable } from "./symbol-table.js";

/** An ELF file's symbols, and where its machine code is described. */
export interface ElfFile {
  readonly path: string;
  /** A module: addresses count from each section's begin. */
  readonly isRelocatable: boolean;
  /** e_machine. */
  readonly machine: number;
  /** By section header index. */
  readonly sectionNames: readonly string[];
  readonly hasDwarf: boolean;
  readonly symbols: SymbolTable;
}

// Numbers and offsets from elf(5), ELF64 in little-endian order.
const HEADER_BYTES = 64;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const ET_REL = 1;
const SHT_SYMTAB = 2;
const SHN_LORESERVE = 0xff00;
const STT_FUNC = 2;

/** A kernel with everything built in has some 20 MB of symbols: what is larger is damaged. */
const MAX_TABLE_BYTES = 256 << 20;

interface OpenFile {
  readonly fd: number;
  readonly path: string;
  readonly bytes: number;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
}

/** Reads the symbols of vmlinux or of a module; SymbolsError where a file has none. */
export function readElfFile(path: string): ElfFile {
  // Without O_NONBLOCK a FIFO waits here for somebody who writes.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw new SymbolsError(`${path} is no file`);
    const file = { fd, path, bytes: status.size };
    const header = read(file, 0, HEADER_BYTES);
    // EI_MAG, EI_CLASS is ELFCLASS64, EI_DATA is ELFDATA2LSB.
    if (header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") {
      throw new SymbolsError(`${path} is no ELF file of 64 bits in little-endian order`);
    }
    const sections = readSections(file, header);
    const table = sections.find(({ type }) => type === SHT_SYMTAB);
    const names = sections[table?.link ?? -1];
    if (table === undefined || names === undefined) {
      throw new SymbolsError(`${path} has no symbols: take the file that wasn't stripped`);
    }
    const isRelocatable = header.readUInt16LE(16) === ET_REL;
    const symbols = symbolsOf(
      read(file, table.offset, table.bytes),
      read(file, names.offset, names.bytes),
      isRelocatable,
    );
    return {
      ...{ path, isRelocatable, machine: header.readUInt16LE(18) },
      sectionNames: sections.map(({ name }) => name),
      hasDwarf: sections.some(({ name }) => /^\.z?debug_line$/.test(name)),
      symbols: new SymbolTable(symbols),
    };
  } finally {
    closeSync(fd);
  }
}

function readSections(file: OpenFile, header: Buffer): Section[] {
  const at = Number(header.readBigUInt64LE(40));
  if (header.readUInt16LE(58) !== SECTION_HEADER_BYTES) return [];
  const first = read(file, at, SECTION_HEADER_BYTES);
  // Where e_shnum and e_shstrndx are too small for them, they are in the first section's header.
  const count = header.readUInt16LE(60) || Number(first.readBigUInt64LE(32));
  const short = header.readUInt16LE(62);
  const namesIndex = short === 0xffff ? first.readUInt32LE(40) : short;
  const headers = read(file, at, count * SECTION_HEADER_BYTES);
  const plain = Array.from({ length: count }, (_, index) => {
    const one = headers.subarray(index * SECTION_HEADER_BYTES, (index + 1) * SECTION_HEADER_BYTES);
    return {
      nameAt: one.readUInt32LE(0),
      type: one.readUInt32LE(4),
      offset: Number(one.readBigUInt64LE(24)),
      bytes: Number(one.readBigUInt64LE(32)),
      link: one.readUInt32LE(40),
    };
  });
  const own = plain[namesIndex];
  if (own === undefined) return [];
  const names = read(file, own.offset, own.bytes);
  return plain.map(({ nameAt, ...section }) => ({ ...section, name: stringAt(names, nameAt) }));
}

function* symbolsOf(
  table: Buffer,
  names: Buffer,
  isRelocatable: boolean,
): Generator<KernelSymbol, void, void> {
  for (let at = 0; at + SYMBOL_BYTES <= table.length; at += SYMBOL_BYTES) {
    const type = table.readUInt8(at + 4) & 0xf;
    const section = table.readUInt16LE(at + 6);
    // Written in assembly, a function may be of no type.
    if (type > STT_FUNC) continue;
    if (section === 0 || section >= SHN_LORESERVE) continue;
    const name = stringAt(names, table.readUInt32LE(at));
    // arm64's and the assembler's own, which kallsyms leaves out, too.
    if (name === "" || /^(?:\$|\.L)/.test(name)) continue;
    yield {
      name,
      section: isRelocatable ? section : 0,
      value: table.readBigUInt64LE(at + 8),
      size: table.readBigUInt64LE(at + 16),
    };
  }
}

function stringAt(strings: Buffer, at: number): string {
  const end = strings.indexOf(0, at);
  return end < 0 ? "" : strings.toString("latin1", at, end);
}

function read({ fd, path, bytes: fileBytes }: OpenFile, at: number, bytes: number): Buffer {
  if (at + bytes > fileBytes) {
    throw new SymbolsError(`${path} is cut short or damaged: it ends before ${at + bytes} bytes`);
  }
  if (bytes > MAX_TABLE_BYTES) {
    throw new SymbolsError(`${path} is damaged: a table of ${bytes} bytes at ${at}`);
  }
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const count = readSync(fd, buffer, done, bytes - done, at + done);
    if (count === 0) throw new SymbolsError(`${path} was cut short while it was read`);
    done += count;
  }
  return buffer;
}
