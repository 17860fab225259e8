import { firstPlace } from "../first-place.js";
import type { AddressRange } from "./address-ranges.js";
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

/** A module's symbols. */
export interface SymbolsOfModule {
  readonly name: string;
  /** Ascending. */
  readonly symbols: readonly KernelSymbol[];
}

/** The loaded modules. */
export interface LoadedModules<T = SymbolsOfModule> {
  readonly modules: readonly T[];
  /** The part of a module that holds an address. */
  moduleAt(address: bigint): AddressRange<T> | undefined;
}

/** The symbols of vmlinux, and of its modules. */
export class Symbols {
  readonly vmlinux: Kallsyms;
  readonly #loaded: LoadedModules;
  readonly #addresses = new Map<string, bigint | undefined>();

  constructor(vmlinux: Kallsyms, loaded: LoadedModules) {
    this.vmlinux = vmlinux;
    this.#loaded = loaded;
  }

  /** Vmlinux's symbol; of several of that name the first. A per-CPU symbol's is its address in the first copy. */
  address(name: string): bigint | undefined {
    if (!this.#addresses.has(name)) this.#addresses.set(name, this.vmlinux.address(name));
    return this.#addresses.get(name);
  }

  /** For return addresses, ask for the byte before. */
  at(address: bigint): SymbolAt | undefined {
    const part = this.#loaded.moduleAt(address);
    if (part === undefined) return this.#atVmlinux(address);
    const { name: module, symbols } = part.value;
    const after = firstPlace(symbols.length, (i) => (symbols[i]?.address ?? 0n) > address);
    const start = symbols[after - 1]?.address;
    if (start === undefined) return undefined;
    // Of several at one address the first.
    const symbol = symbols[firstPlace(after, (i) => (symbols[i]?.address ?? 0n) >= start)];
    const next = symbols[after]?.address;
    const end = next === undefined || next > part.end ? part.end : next;
    return {
      name: symbol?.name ?? "",
      offset: Number(address - start),
      size: Number(end - start),
      module,
    };
  }

  /** All, as /proc/kallsyms has them: vmlinux's, then each module's. */
  *all(): Generator<KernelSymbol, void, void> {
    for (let i = 0; i < this.vmlinux.count; i++) {
      yield { ...this.vmlinux.name(i), address: this.vmlinux.addressOf(i) };
    }
    for (const { name, symbols } of this.#loaded.modules) {
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
