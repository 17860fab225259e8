import { MemoryError } from "../errors.js";
import type { Module } from "./module.js";
import type { StructSource } from "./struct.js";
import type { KernelSymbol } from "./symbols.js";
import type { Types } from "./types.js";

/** More symbols, or longer strings, no module has. */
const MAX_SYMBOLS = 1 << 18;
const MAX_STRINGS_BYTES = 16 << 20;
const MAX_NAME_BYTES = 2048;

/** What a symbol costs, and so many bytes of its name, in units of the budget. */
const WORK_PER_SYMBOL = 0.5;
const BYTES_PER_WORK = 64;
/** What a symbol takes beside its name. */
const SYMBOL_BYTES = 128;

/** Of a module's structure, as the kernel keeps it for kallsyms. Symbols without a name are left out. */
export function moduleSymbols(
  module: Module,
  source: StructSource,
  types: Types,
): readonly KernelSymbol[] {
  const kallsyms = module.struct.has("kallsyms") ? module.struct.follow("kallsyms") : undefined;
  if (kallsyms === undefined) return [];
  const count = kallsyms.number("num_symtab");
  if (count > MAX_SYMBOLS) {
    throw new MemoryError("DAMAGED", `module ${module.name} claims ${count} symbols`);
  }
  const symbol = types.expect("elf64_sym");
  const symtab = source.read(kallsyms.pointer("symtab"), count * symbol.size);
  const typetab = kallsyms.has("typetab")
    ? source.read(kallsyms.pointer("typetab"), count)
    : undefined;
  const nameAt = symbol.offset("st_name");
  const valueAt = symbol.offset("st_value");
  if (nameAt + 4 > symbol.size || valueAt + 8 > symbol.size) {
    throw new MemoryError("DAMAGED", `elf64_sym has ${symbol.size} bytes`);
  }
  let end = 0;
  for (let i = 0; i < count; i++) {
    end = Math.max(end, symtab.readUInt32LE(i * symbol.size + nameAt));
  }
  if (end > MAX_STRINGS_BYTES) {
    throw new MemoryError("DAMAGED", `module ${module.name} claims ${end} bytes of names`);
  }
  const strings = source.read(kallsyms.pointer("strtab"), end + 1);
  // The last name's end isn't known before.
  const last = tail(source, kallsyms.pointer("strtab") + BigInt(end));
  const found: KernelSymbol[] = [];
  for (let i = 0; i < count; i++) {
    const start = symtab.readUInt32LE(i * symbol.size + nameAt);
    const bytes = strings.subarray(start, start + MAX_NAME_BYTES + 1);
    const length = bytes.indexOf(0);
    const name = start === end ? last : bytes.toString("latin1", 0, Math.max(length, 0));
    source.budget.spend(WORK_PER_SYMBOL + name.length / BYTES_PER_WORK);
    if (name === "") continue;
    source.budget.keep(SYMBOL_BYTES + name.length);
    const address = symtab.readBigUInt64LE(i * symbol.size + valueAt);
    const type = typetab === undefined ? "?" : String.fromCharCode(typetab[i] ?? 0);
    found.push({ name, address, type, module: module.name });
  }
  return found.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
}

function tail(source: StructSource, address: bigint): string {
  for (let size = 1; size <= MAX_NAME_BYTES; size *= 2) {
    const bytes = source.read(address, size);
    const end = bytes.indexOf(0);
    if (end >= 0) return bytes.toString("latin1", 0, end);
  }
  return "";
}
