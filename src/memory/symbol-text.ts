import { hex } from "./guest-text.js";
import type { Kernel, SymbolAt } from "./kernel/index.js";

/** An instruction's address as the kernel's %pS: `function+0x1f/0x30 [module]`; as its %ps without where in it. */
export function codeText(address: bigint, symbol: SymbolAt | undefined, withOffset = true): string {
  if (symbol === undefined) return hex(address);
  const { name, offset, size, module } = symbol;
  const place = withOffset ? `${name}+0x${offset.toString(16)}/0x${size.toString(16)}` : name;
  return module === undefined ? place : `${place} [${module}]`;
}

/** What an address is of: `name`, `name+0x10` or `name [module]`; undefined where no symbol has it. */
export function nameAt(kernel: Kernel, address: bigint): string | undefined {
  const found = kernel.symbols?.at(address);
  if (found === undefined || found.offset >= found.size) return undefined;
  const { name, offset, module } = found;
  const place = offset === 0 ? name : `${name}+${hex(BigInt(offset))}`;
  return module === undefined ? place : `${place} [${module}]`;
}
