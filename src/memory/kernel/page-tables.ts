import type { PhysicalMemory } from "../physical-memory.js";
import type { AddressSpace, Run } from "./address-space.js";

/** Of an entry (Intel SDM, volume 3, 4.5: "4-level paging and 5-level paging"). */
const PRESENT = 1;
const LARGE = 0x80;
/** Linux clears PRESENT for a page that nobody may access now, and sets this (arch/x86/include/asm/pgtable_types.h). */
const PROTNONE = 0x100;

const ENTRIES = 512;
const PAGE_BITS = 12;
export const PAGE_SIZE = 2 ** PAGE_BITS;
const LEVEL_BITS = 9;

/** Tables that are kept: 32 MiB of them map 8 GiB by pages of 4 KiB. */
const MAX_TABLES = 8192;

/** x86-64's page tables, of 4 or 5 levels. */
export class PageTables implements AddressSpace {
  readonly levels: 4 | 5;
  /** The physical address of the table of the highest level. */
  readonly root: number;
  readonly #memory: PhysicalMemory;
  /** Bits that say that a page is encrypted, not where it lies. */
  readonly #notAddress: bigint;
  readonly #tables = new Map<number, Buffer | undefined>();
  #reads = 0;

  constructor(memory: PhysicalMemory, root: number, levels: 4 | 5, notAddress = 0n) {
    this.#memory = memory;
    this.root = root;
    this.levels = levels;
    this.#notAddress = notAddress;
  }

  get reads(): number {
    return this.#reads;
  }

  /** Undefined where nothing is mapped, or the address isn't canonical. */
  translate(virtual: bigint): Run | undefined {
    const bits = PAGE_BITS + LEVEL_BITS * this.levels;
    if (BigInt.asUintN(64, BigInt.asIntN(bits, virtual)) !== virtual) return undefined;
    const high = Number((virtual >> 32n) & 0xffffffffn);
    const low = Number(virtual & 0xffffffffn);
    let table = this.root;
    for (let level: number = this.levels; level > 0; level--) {
      const shift = PAGE_BITS + LEVEL_BITS * (level - 1);
      // Of the address's bits from `shift` on, nine.
      const index =
        shift >= 32 ? (high >>> (shift - 32)) & 511 : ((low >>> shift) | spill(high, shift)) & 511;
      const found = this.#table(table);
      if (found === undefined) return undefined;
      const entry = found.readBigUInt64LE(index * 8);
      const flags = Number(entry & 0xfffn);
      const isLast = level === 1 || ((level === 2 || level === 3) && (flags & LARGE) !== 0);
      if ((flags & PRESENT) === 0 && !(isLast && (flags & PROTNONE) !== 0)) return undefined;
      const address = Number(entry & 0x000ffffffffff000n & ~this.#notAddress);
      if (!isLast) {
        table = address;
        continue;
      }
      const size = 2 ** shift;
      // In a large page's entry, the lowest bit of the address is of its attributes.
      const start = address - (address % size);
      const offset = Number(virtual & BigInt(size - 1));
      return { physical: start + offset, size: size - offset };
    }
    return undefined;
  }

  forget(): void {
    this.#tables.clear();
  }

  #table(address: number): Buffer | undefined {
    const known = this.#tables.get(address);
    if (known !== undefined) return known;
    this.#reads++;
    const table = Buffer.allocUnsafe(ENTRIES * 8);
    if (this.#memory.read(address, table) < table.length) return undefined;
    if (this.#tables.size >= MAX_TABLES) this.#tables.clear();
    this.#tables.set(address, table);
    return table;
  }
}

/** What of the upper half belongs to nine bits that begin in the lower. */
const spill = (high: number, shift: number): number => (shift > 32 - 9 ? high << (32 - shift) : 0);
