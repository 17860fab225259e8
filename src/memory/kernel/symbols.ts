import type { Kallsyms } from "./kallsyms.js";

/** What an address belongs to. */
export interface SymbolAt {
  readonly name: string;
  /** From the symbol's begin, in bytes. */
  readonly offset: number;
  /** Up to where the next symbol begins. */
  readonly size: number;
  /** Undefined for vmlinux's own. */
  readonly module?: string | undefined;
}

export interface KernelSymbol {
  readonly name: string;
  readonly address: bigint;
  /** As `nm` prints it. */
  readonly type: string;
  readonly module?: string | undefined;
}

/** A module's symbols, and where its memory is. */
export interface SymbolsOfModule {
  readonly name: string;
  /** Ascending. */
  readonly symbols: readonly KernelSymbol[];
  contains(address: bigint): boolean;
  /** Where the part of it ends that holds the address. */
  end(address: bigint): bigint;
}

/** The symbols of vmlinux, and of its modules. */
export class Symbols {
  readonly vmlinux: Kallsyms;
  readonly #modules: () => readonly SymbolsOfModule[];
  readonly #addresses = new Map<string, bigint | undefined>();

  constructor(vmlinux: Kallsyms, modules: () => readonly SymbolsOfModule[]) {
    this.vmlinux = vmlinux;
    this.#modules = modules;
  }

  /** Vmlinux's symbol; of several of that name the first. A per-CPU symbol's is its address in the first copy. */
  address(name: string): bigint | undefined {
    if (!this.#addresses.has(name)) this.#addresses.set(name, this.vmlinux.address(name));
    return this.#addresses.get(name);
  }

  /** A symbol of vmlinux or of any module. */
  anyAddress(name: string): bigint | undefined {
    const own = this.address(name);
    if (own !== undefined) return own;
    for (const { symbols } of this.#modules()) {
      const found = symbols.find((symbol) => symbol.name === name);
      if (found !== undefined) return found.address;
    }
    return undefined;
  }

  /** For return addresses, ask for the byte before. */
  at(address: bigint): SymbolAt | undefined {
    const module = this.#modules().find((one) => one.contains(address));
    if (module === undefined) return this.#atVmlinux(address);
    let best: KernelSymbol | undefined;
    let end = module.end(address);
    for (const symbol of module.symbols) {
      if (symbol.address > address) {
        if (symbol.address < end) end = symbol.address;
        break;
      }
      if (best === undefined || symbol.address > best.address) best = symbol;
    }
    if (best === undefined) return undefined;
    return {
      name: best.name,
      offset: Number(address - best.address),
      size: Number(end - best.address),
      module: module.name,
    };
  }

  /** All, as /proc/kallsyms has them: vmlinux's, then each module's. */
  *all(): Generator<KernelSymbol, void, void> {
    for (let i = 0; i < this.vmlinux.count; i++) {
      yield { ...this.vmlinux.name(i), address: this.vmlinux.addressOf(i) };
    }
    for (const { name, symbols } of this.#modules()) {
      for (const symbol of symbols) yield { ...symbol, module: name };
    }
  }

  #atVmlinux(address: bigint): SymbolAt | undefined {
    const found = this.vmlinux.at(address);
    if (found === undefined) return undefined;
    const start = this.vmlinux.addressOf(found.index);
    const { name } = this.vmlinux.name(found.index);
    return { name, offset: Number(address - start), size: Number(found.end - start) };
  }
}
