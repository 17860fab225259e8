import type { Kernel } from "../kernel/index.js";

interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Where the kernel and its modules have their code. */
export class TextAddresses {
  readonly #ranges: readonly Range[];

  constructor(kernel: Kernel) {
    const own = [
      ["_stext", "_etext"],
      ["_sinittext", "_einittext"],
    ].flatMap(([from = "", to = ""]) => {
      const start = kernel.symbols?.address(from);
      const end = kernel.symbols?.address(to);
      return start === undefined || end === undefined ? [] : [{ start, end }];
    });
    this.#ranges = [...own, ...kernel.modules.flatMap(({ struct }) => moduleText(kernel, struct))];
  }

  has(address: bigint): boolean {
    return this.#ranges.some(({ start, end }) => address >= start && address < end);
  }
}

/** Linux 6.4 has a part for code among a module's others; before that it is at the part's begin. */
function moduleText(kernel: Kernel, module: Kernel["modules"][number]["struct"]): Range[] {
  const kinds = kernel.types?.enum("mod_mem_type");
  const parts = module.has("mem")
    ? ["MOD_TEXT", "MOD_INIT_TEXT"].map((name) => [`mem[${kinds?.get(name) ?? 0n}]`, "size"])
    : ["core_layout", "init_layout"].map((name) => [name, "text_size"]);
  return parts.flatMap(([part = "", size = ""]) => {
    if (!module.has(`${part}.${size}`)) return [];
    const start = module.pointer(`${part}.base`);
    const bytes = module.number(`${part}.${size}`);
    return start === 0n || bytes === 0 ? [] : [{ start, end: start + BigInt(bytes) }];
  });
}
