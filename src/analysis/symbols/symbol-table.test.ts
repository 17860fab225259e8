import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SymbolTable } from "./symbol-table.js";
import { readSystemMap } from "./system-map.js";

const symbol = (name: string, value: bigint, size = 0n, section = 0) => ({
  ...{ name, value, size, section },
});

test("a name that several have: the one that is as long as the log says", () => {
  const table = new SymbolTable([
    symbol("next", 0x150n),
    symbol("init", 0x100n),
    symbol("init", 0x120n, 0x28n),
    symbol("last", 0x200n),
  ]);
  expect(table.find("init", 0x20n)?.value).toBe(0x100n);
  expect(table.find("init", 0x30n)?.value).toBe(0x120n);
  expect(table.find("init", 0x31n)).toBeUndefined();
  expect(table.find("gone", 0x20n)).toBeUndefined();
});

test("a name that thousands share is looked through once for each length", () => {
  let looks = 0;
  const namesakes = Array.from({ length: 5000 }, (_, index) => ({
    ...symbol("init", BigInt(index) * 0x20n),
    get size() {
      looks++;
      return 0n;
    },
  }));
  const table = new SymbolTable([...namesakes, symbol("end", 5000n * 0x20n)]);
  for (let frame = 0; frame < 1000; frame++) {
    expect(table.find("init", 0x19n)).toBeUndefined();
    expect(table.find("init", 0x20n)?.value).toBe(0n);
  }
  expect(looks).toBe(namesakes.length + 1);
});

test("what a guest makes up doesn't change what is found", () => {
  const table = new SymbolTable([symbol("init", 0n), symbol("end", 0x3000n)]);
  for (let length = 1n; length < 0x3100n; length++) {
    expect(table.find("init", length)?.name).toBe(length === 0x3000n ? "init" : undefined);
  }
  expect(table.find("init", 0x3000n)?.name).toBe("init");
});

test("a module's sections: the last function may have the kernel's own behind it", () => {
  const table = new SymbolTable([symbol("a", 0n, 0x10n, 1), symbol("b", 0x20n, 0x10n, 2)]);
  expect(table.find("a", 0x18n)?.section).toBe(1);
  expect(table.find("b", 0x8n)).toBeUndefined();
});

test("an address: the symbol it is in, none before the first or behind the last", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-symbols-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, "System.map");
  const lines = [
    "0000000000034000 D __per_cpu_end",
    ...["ffffffff81000000 T _text", "ffffffff81000010 t foo", "ffffffff81000020 D _end"],
  ];
  writeFileSync(path, [...lines, "ffffffffff600000 A vsyscall", ""].join("\n"));
  const table = readSystemMap(path);
  const at = (address: bigint) => table.at(address)?.name;
  expect(at(0xffffffff80ffffffn)).toBeUndefined();
  expect(at(0xffffffff81000000n)).toBe("_text");
  expect(at(0xffffffff8100000fn)).toBe("_text");
  expect(at(0xffffffff8100001fn)).toBe("foo");
  expect(at(0xffffffff81000020n)).toBeUndefined();
  writeFileSync(path, "nothing\n");
  expect(() => readSystemMap(path)).toThrow(/is no System\.map/);
});
