import { AddressRanges, type Kernel } from "../kernel/index.js";

/** Where the kernel and its modules have their code. */
export class TextAddresses {
  readonly #ranges: AddressRanges<true>;

  constructor(kernel: Kernel) {
    const own = [
      ["_stext", "_etext"],
      ["_sinittext", "_einittext"],
    ].flatMap(([from = "", to = ""]) => {
      const start = kernel.symbols?.address(from);
      const end = kernel.symbols?.address(to);
      return start === undefined || end === undefined ? [] : [{ start, end, value: true as const }];
    });
    const modules = kernel.modules.flatMap(({ parts }) =>
      parts
        .filter(({ isCode }) => isCode)
        .map(({ base, size }) => ({ start: base, end: base + BigInt(size), value: true as const })),
    );
    this.#ranges = new AddressRanges([...own, ...modules]);
  }

  has(address: bigint): boolean {
    return this.#ranges.at(address) !== undefined;
  }
}
