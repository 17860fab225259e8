import type { Struct } from "./struct.js";
import type { KernelSymbol, SymbolsOfModule } from "./symbols.js";

/** A run of a module's memory. */
export interface ModulePart {
  readonly base: bigint;
  readonly size: number;
}

/** A loaded module. */
export class Module implements SymbolsOfModule {
  readonly name: string;
  readonly struct: Struct;
  readonly parts: readonly ModulePart[];
  readonly #read: (module: Module) => readonly KernelSymbol[];
  #symbols: readonly KernelSymbol[] | undefined;

  constructor(struct: Struct, readSymbols: (module: Module) => readonly KernelSymbol[]) {
    this.struct = struct;
    this.name = struct.text("name");
    this.parts = partsOf(struct);
    this.#read = readSymbols;
  }

  /** In the order of addresses; read when first asked for. */
  get symbols(): readonly KernelSymbol[] {
    this.#symbols ??= this.#read(this);
    return this.#symbols;
  }

  contains(address: bigint): boolean {
    return this.#part(address) !== undefined;
  }

  end(address: bigint): bigint {
    const part = this.#part(address);
    return part === undefined ? address : part.base + BigInt(part.size);
  }

  #part(address: bigint): ModulePart | undefined {
    return this.parts.find(({ base, size }) => address >= base && address < base + BigInt(size));
  }
}

/** Since Linux 6.4 an array has a part for each use; before that there are two parts. */
function partsOf(struct: Struct): ModulePart[] {
  const paths = struct.has("mem")
    ? Array.from({ length: struct.length("mem") }, (_, i) => `mem[${i}]`)
    : ["core_layout", "init_layout"].filter((path) => struct.has(path));
  return paths
    .map((path) => ({ base: struct.pointer(`${path}.base`), size: struct.number(`${path}.size`) }))
    .filter(({ base, size }) => base !== 0n && size > 0);
}
