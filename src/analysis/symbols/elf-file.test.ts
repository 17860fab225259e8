import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { readElfFile } from "./elf-file.js";
import { SymbolsError } from "./errors.js";

/** A module with a function `foo` in `.init.text`, what assembles as `$x`, and DWARF's lines. */
function tinyModule(): Buffer {
  const names = Buffer.from("\0.init.text\0.debug_line\0.symtab\0foo\0$x\0");
  const symbols = Buffer.alloc(3 * 24);
  const symbol = (index: number, name: string, value: number, size: number) => {
    const at = index * 24;
    symbols.writeUInt32LE(names.indexOf(name), at);
    symbols.writeUInt8(2, at + 4);
    symbols.writeUInt16LE(1, at + 6);
    symbols.writeBigUInt64LE(BigInt(value), at + 8);
    symbols.writeBigUInt64LE(BigInt(size), at + 16);
  };
  symbol(1, "foo\0", 0x10, 0x20);
  symbol(2, "$x", 0x18, 0);
  const sections = Buffer.alloc(5 * 64);
  const section = (index: number, name: string, type: number, at: number, bytes: number) => {
    const to = index * 64;
    sections.writeUInt32LE(names.indexOf(name), to);
    sections.writeUInt32LE(type, to + 4);
    sections.writeBigUInt64LE(BigInt(at), to + 24);
    sections.writeBigUInt64LE(BigInt(bytes), to + 32);
    sections.writeUInt32LE(4, to + 40);
  };
  section(1, ".init.text", 1, 0, 0);
  section(2, ".debug_line", 1, 0, 0);
  section(3, ".symtab", 2, 64 + names.length, symbols.length);
  section(4, "\0", 3, 64, names.length);
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(1, 16);
  header.writeUInt16LE(183, 18);
  header.writeBigUInt64LE(BigInt(64 + names.length + symbols.length), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(5, 60);
  header.writeUInt16LE(4, 62);
  return Buffer.concat([header, names, symbols, sections]);
}

function file(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-elf-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return join(folder, "tiny.ko");
}

test("a module's symbols are in their sections, without the assembler's own", () => {
  const path = file();
  writeFileSync(path, tinyModule());
  const elf = readElfFile(path);
  expect(elf).toMatchObject({ isRelocatable: true, machine: 183, hasDwarf: true });
  const foo = elf.symbols.find("foo", 0x20n);
  expect(foo).toEqual({ name: "foo", section: 1, value: 0x10n, size: 0x20n });
  expect(elf.sectionNames[1]).toBe(".init.text");
  expect(elf.symbols.isKnown("$x")).toBe(false);
});

test("what is damaged is read or refused in a line", () => {
  const path = file();
  const whole = tinyModule();
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(damage, fc.nat(whole.length), (changes, length) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      writeFileSync(path, bytes.subarray(0, length % 4 === 0 ? length : bytes.length));
      try {
        readElfFile(path);
      } catch (error) {
        expect(error).toBeInstanceOf(SymbolsError);
      }
    }),
    { numRuns: 400 },
  );
});
