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

/** Linux 7.3 has 7 uses of a module's memory (enum mod_mem_type). */
const MAX_PARTS = 64;

/** Since Linux 6.4 an array has a part for each use; before that there are two, each with its code first. */
function partsOf(struct: Struct): ModulePart[] {
  const parts = struct.has("mem")
    ? Array.from({ length: Math.min(struct.length("mem"), MAX_PARTS) }, (_, i) =>
        partAt(struct, `mem[${i}]`),
      )
    : ["core_layout", "init_layout"]
        .filter((path) => struct.has(path))
        .flatMap((path) => inTwo(partAt(struct, path), struct.number(`${path}.text_size`)));
  return parts.filter(({ base, size }) => base !== 0n && size > 0);
}

const partAt = (struct: Struct, path: string): ModulePart => ({
  base: struct.pointer(`${path}.base`),
  size: struct.number(`${path}.size`),
});

const inTwo = ({ base, size }: ModulePart, first: number): ModulePart[] => [
  { base, size: Math.min(first, size) },
  { base: base === 0n ? 0n : base + BigInt(first), size: size - first },
];
