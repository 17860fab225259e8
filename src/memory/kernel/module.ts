import type { Once } from "./once.js";
import type { Struct } from "./struct.js";
import type { KernelSymbol, SymbolsOfModule } from "./symbols.js";

/** A run of a module's memory. */
export interface ModulePart {
  readonly base: bigint;
  readonly size: number;
  /** It holds code. */
  readonly isCode: boolean;
}

/** A loaded module. */
export class Module implements SymbolsOfModule {
  readonly name: string;
  readonly struct: Struct;
  readonly parts: readonly ModulePart[];
  readonly #symbols: Once<readonly KernelSymbol[]>;

  /** `uses` is what the kernel's enum mod_mem_type says; undefined before Linux 6.4. */
  constructor(
    struct: Struct,
    uses: ReadonlyMap<string, bigint> | undefined,
    symbolsOf: (module: Module) => Once<readonly KernelSymbol[]>,
  ) {
    this.struct = struct;
    this.name = struct.text("name");
    this.parts = partsOf(struct, uses);
    this.#symbols = symbolsOf(this);
  }

  /** In the order of addresses; read when first asked for. */
  get symbols(): readonly KernelSymbol[] {
    return this.#symbols.value;
  }
}

/** Linux 7.3 has 7 uses of a module's memory (enum mod_mem_type). */
const MAX_PARTS = 64;

/** Since Linux 6.4 an array has a part for each use; before that there are two, each with its code first. */
function partsOf(struct: Struct, uses: ReadonlyMap<string, bigint> | undefined): ModulePart[] {
  const code = ["MOD_TEXT", "MOD_INIT_TEXT"].map((use) => Number(uses?.get(use) ?? -1n));
  const parts = struct.has("mem")
    ? Array.from({ length: Math.min(struct.length("mem"), MAX_PARTS) }, (_, i) => ({
        ...runAt(struct, `mem[${i}]`),
        isCode: code.includes(i),
      }))
    : ["core_layout", "init_layout"]
        .filter((path) => struct.has(path))
        .flatMap((path) => inTwo(runAt(struct, path), struct.number(`${path}.text_size`)));
  return parts.filter(({ base, size }) => base !== 0n && size > 0);
}

type Run = Omit<ModulePart, "isCode">;

const runAt = (struct: Struct, path: string): Run => ({
  base: struct.pointer(`${path}.base`),
  size: struct.number(`${path}.size`),
});

const inTwo = ({ base, size }: Run, codeBytes: number): ModulePart[] => [
  { base, size: Math.min(codeBytes, size), isCode: true },
  {
    base: base === 0n ? 0n : base + BigInt(codeBytes),
    size: size - codeBytes,
    isCode: false,
  },
];
