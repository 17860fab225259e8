/** A name for an address. */
export interface KernelSymbol {
  readonly name: string;
  /** Of a section in a module's file; else 0. */
  readonly section: number;
  /** Where the kernel was linked to be; in a module's file, from the section's begin. */
  readonly value: bigint;
  /** In bytes; 0 where it isn't known. */
  readonly size: bigint;
}

/** The kernel's half of the address space begins here; below it are offsets, as of per-CPU variables. */
const KERNEL_HALF = 1n << 63n;

/** Answers that are kept: more functions than a kernel's log names, unless its guest makes them up. */
const MAX_ANSWERS = 10_000;

/** The symbols of a kernel or a module, by name and by address. */
export class SymbolTable {
  readonly #byName = new Map<string, KernelSymbol[]>();
  /** By section, in the order of their values. */
  readonly #sections = new Map<number, KernelSymbol[]>();
  /** By length and name: thousands may share one, and a log names the same again and again. */
  readonly #answers = new Map<string, KernelSymbol | undefined>();

  constructor(symbols: Iterable<KernelSymbol>) {
    for (const symbol of symbols) {
      const named = this.#byName.get(symbol.name);
      if (named === undefined) this.#byName.set(symbol.name, [symbol]);
      else named.push(symbol);
      const section = this.#sections.get(symbol.section);
      if (section === undefined) this.#sections.set(symbol.section, [symbol]);
      else section.push(symbol);
    }
    for (const section of this.#sections.values()) {
      section.sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
    }
  }

  get size(): number {
    return this.#byName.size;
  }

  isKnown(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * The symbol of a name that is as long as a log says, up to the next one. Static functions share names, and a file of
   * another build has other lengths: no answer is better than a wrong one.
   */
  find(name: string, length: bigint): KernelSymbol | undefined {
    const key = `${length} ${name}`;
    if (this.#answers.has(key)) return this.#answers.get(key);
    const found = this.#byName.get(name)?.find((symbol) => this.#isOfLength(symbol, length));
    if (this.#answers.size === MAX_ANSWERS) this.#answers.clear();
    this.#answers.set(key, found);
    return found;
  }

  /** The symbol that an address of the kernel lies in; undefined before the first and behind the last. */
  at(address: bigint): KernelSymbol | undefined {
    const section = this.#sections.get(0) ?? [];
    const next = firstFrom(section, address + 1n);
    const found = next < section.length ? section[next - 1] : undefined;
    return found !== undefined && found.value >= KERNEL_HALF ? found : undefined;
  }

  #isOfLength(symbol: KernelSymbol, length: bigint): boolean {
    if (symbol.size > length) return false;
    const section = this.#sections.get(symbol.section) ?? [];
    const end = symbol.value + length;
    const last = section.at(-1);
    // Behind a module's section comes what the kernel put there.
    if (last === undefined || last.value <= symbol.value) return true;
    return section[firstFrom(section, end)]?.value === end;
  }
}

/** The index of the first symbol at a value or behind it. */
function firstFrom(symbols: readonly KernelSymbol[], value: bigint): number {
  let low = 0;
  let high = symbols.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((symbols[middle]?.value ?? value) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
