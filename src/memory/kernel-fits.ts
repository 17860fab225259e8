import { MemoryError } from "./errors.js";
import { findInfos } from "./kernel/find-info.js";
import { Kernel } from "./kernel/index.js";
import type { PhysicalMemory } from "./physical-memory.js";

/** A region's last part may be the firmware's, which the kernel doesn't map. */
const FIRMWARE_BYTES = 16 << 20;

/** Whether there is a Linux in a memory that has mapped each of its regions, at the same addresses. */
export function kernelFits(memory: PhysicalMemory): boolean {
  const [found] = findInfos(memory);
  if (found === undefined) return false;
  try {
    const kernel = new Kernel(memory, found);
    const directMap = kernel.pointer(kernel.expectSymbol("page_offset_base"));
    return memory.regions.every(({ start, size }) => {
      const address = start + Math.max(0, size - FIRMWARE_BYTES);
      return kernel.translate(directMap + BigInt(address)) === address;
    });
  } catch (error) {
    if (error instanceof MemoryError) return false;
    throw error;
  }
}
