import { MemoryError } from "../errors.js";
import type { Kernel } from "../kernel/index.js";
import { ByteWriter } from "./byte-writer.js";
import { SHF, SHN_ABS, STB, STT } from "./elf-numbers.js";
import { type ImageSection, linkedAddress } from "./sections.js";

/** What a symbol costs, in units of the budget, and what it takes beside its name, in bytes. */
const WORK_PER_SYMBOL = 1.5;
const SYMBOL_BYTES = 128;

/** .symtab and .strtab. */
export interface SymbolTable {
  readonly symbols: Buffer;
  readonly strings: Buffer;
  /** How many there are, with the empty one that comes first. */
  readonly count: number;
  /** How many of them are local; these come first. */
  readonly locals: number;
}

interface Sized {
  readonly name: string;
  readonly type: string;
  readonly address: bigint;
  size: bigint;
}

/** All of kallsyms, sized up to the next one. Throws MemoryError where there is none, or too much. */
export function symbolTable(kernel: Kernel, sections: readonly ImageSection[]): SymbolTable {
  const list = sized(kernel);
  const placeOf = (address: bigint) => {
    const index = sections.findLastIndex((one) => one.address <= address);
    const section = sections[index];
    const isIn = section !== undefined && address < section.address + BigInt(section.size);
    return isIn ? { section, index } : undefined;
  };
  const symbols = new ByteWriter();
  const strings = new ByteWriter();
  const add = (nameAt: number, info: number, section: number, address: bigint, size: bigint) => {
    symbols.u32(nameAt);
    symbols.u8(info);
    symbols.u8(0);
    symbols.u16(section);
    symbols.u64(address);
    symbols.u64(size);
  };
  strings.u8(0);
  add(0, 0, 0, 0n, 0n);
  const locals = list.filter(({ type }) => bindingOf(type) === STB.LOCAL);
  for (const one of [...locals, ...list.filter(({ type }) => bindingOf(type) !== STB.LOCAL)]) {
    const { name, type, address, size } = one;
    const nameAt = strings.length;
    strings.text(name);
    const place = placeOf(address);
    const end = place === undefined ? 0n : place.section.address + BigInt(place.section.size);
    const inside = place === undefined ? 0n : address + size > end ? end - address : size;
    const index = place === undefined ? SHN_ABS : place.index + 1;
    add(nameAt, (bindingOf(type) << 4) | kindOf(place?.section), index, address, inside);
  }
  const count = list.length + 1;
  return { symbols: symbols.take(), strings: strings.take(), count, locals: locals.length + 1 };
}

/** Ascending by address. */
function sized(kernel: Kernel): Sized[] {
  const all = kernel.symbols?.vmlinux;
  if (all === undefined) {
    throw new MemoryError(
      "NOT_DESCRIBED",
      `Linux ${kernel.info.release} doesn't say where its symbols are: there is no vmlinux to make of it`,
    );
  }
  const list: Sized[] = [];
  for (let i = 0; i < all.count; i++) {
    const { name, type } = all.name(i);
    kernel.budget.spend(WORK_PER_SYMBOL);
    // The names are in the table, too.
    kernel.budget.keep(SYMBOL_BYTES + 2 * name.length);
    list.push({ name, type, address: linkedAddress(all.addressOf(i), kernel), size: 0n });
  }
  list.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  let next: Sized | undefined;
  for (const one of list.reverse()) {
    // Of several at one place, all end where the next place begins.
    if (next !== undefined) {
      one.size = next.address === one.address ? next.size : next.address - one.address;
    }
    next = one;
  }
  return list.reverse();
}

/** As nm(1) tells them by letters: small ones are local, but for u, v and w. */
function bindingOf(type: string): number {
  if ("vVwW".includes(type)) return STB.WEAK;
  return type === type.toLowerCase() && type !== "u" ? STB.LOCAL : STB.GLOBAL;
}

/** Since 7.0 the letters of kallsyms are no help: data that are constant after the boot have t, too. */
function kindOf(section: ImageSection | undefined): number {
  if (section === undefined) return STT.NOTYPE;
  return (section.flags & SHF.EXEC) === 0 ? STT.OBJECT : STT.FUNC;
}
