export { MemoryError, type MemoryErrorCode } from "./errors.js";
export type { Extent, PhysicalMemory } from "./physical-memory.js";
export {
  type MemorySource,
  type OpenOptions,
  openMemory,
  type SharedMemory,
} from "./source/open-memory.js";
