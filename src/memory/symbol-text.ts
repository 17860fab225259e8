import { hex } from "./guest-text.js";
import type { Kernel } from "./kernel/index.js";

/** An address as `name`, `name+0x10` or `name [module]`; undefined where no symbol has it. */
export function symbolText(kernel: Kernel, address: bigint): string | undefined {
  const found = kernel.symbols?.at(address);
  if (found === undefined || found.offset >= found.size) return undefined;
  const { name, offset, module } = found;
  const place = offset === 0 ? name : `${name}+${hex(BigInt(offset))}`;
  return module === undefined ? place : `${place} [${module}]`;
}
