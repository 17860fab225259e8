import { readFileSync, statSync } from "node:fs";
import { SymbolsError } from "./errors.js";
import { type KernelSymbol, SymbolTable } from "./symbol-table.js";

/** That of a kernel with everything built in has some 15 MB. */
const MAX_BYTES = 256 << 20;

/** Without absolute symbols (`A`), which aren't addresses. */
const LINE = /^([0-9a-f]{8,16}) [B-Zb-z?] (\S{1,512})$/gm;

/** A kernel's System.map, as nm(1) prints it; SymbolsError where a file is none. */
export function readSystemMap(path: string): SymbolTable {
  const status = statSync(path);
  // Others may have no end, or never begin.
  if (!status.isFile()) throw new SymbolsError(`${path} is no file`);
  if (status.size > MAX_BYTES) throw new SymbolsError(`${path} is too large for a System.map`);
  const table = new SymbolTable(symbolsOf(readFileSync(path, "latin1")));
  if (table.size === 0)
    throw new SymbolsError(`${path} is no System.map: no line is "address type name"`);
  return table;
}

export function* symbolsOf(text: string): Generator<KernelSymbol, void, void> {
  for (const [, address, name = ""] of text.matchAll(LINE)) {
    yield { name, section: 0, value: BigInt(`0x${address}`), size: 0n };
  }
}
