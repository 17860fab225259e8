import { expect, test } from "vitest";
import { AddressRanges } from "./address-ranges.js";
import type { Kallsyms } from "./kallsyms.js";
import { Symbols, type SymbolsOfModule } from "./symbols.js";

function symbolsOf(module: SymbolsOfModule, start: bigint, end: bigint): Symbols {
  const ranges = new AddressRanges([{ start, end, value: module }]);
  return new Symbols({ at: () => undefined } as unknown as Kallsyms, {
    modules: [module],
    moduleAt: (address) => ranges.at(address),
  });
}

test("a module's symbol is the first of those at the last address that isn't above", () => {
  const at = (name: string, address: bigint) => ({ name, address, type: "t" });
  const list = [at("a", 0x110n), at("b", 0x120n), at("same", 0x120n), at("c", 0x200n)];
  const symbols = symbolsOf({ name: "mod", symbols: list }, 0x100n, 0x180n);
  const found = [0x10fn, 0x110n, 0x125n, 0x17fn, 0x180n].map((address) => symbols.at(address));
  expect(found).toEqual([
    undefined,
    { name: "a", offset: 0, size: 0x10, module: "mod" },
    { name: "b", offset: 5, size: 0x60, module: "mod" },
    { name: "b", offset: 0x5f, size: 0x60, module: "mod" },
    undefined,
  ]);
});

test("of a module's 262,144 symbols one is found in some forty looks", () => {
  let looks = 0;
  const list = Array.from({ length: 1 << 18 }, (_, i) => ({
    get address() {
      looks++;
      return BigInt(i);
    },
    ...{ name: `symbol${i}`, type: "t" },
  }));
  const symbols = symbolsOf({ name: "mod", symbols: list }, 0n, 1n << 18n);
  expect(symbols.at(200_000n)?.name).toBe("symbol200000");
  expect(looks).toBeLessThan(60);
});
