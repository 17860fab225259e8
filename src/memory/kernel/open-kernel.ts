import type { PhysicalMemory } from "../physical-memory.js";
import { chooseBoot } from "./choose-boot.js";
import { findInfos } from "./find-info.js";
import type { Kernel } from "./kernel.js";

/** The Linux in a memory. Throws MemoryError where there is none. */
export function openKernel(memory: PhysicalMemory): Kernel {
  return chooseBoot(memory, findInfos(memory));
}
