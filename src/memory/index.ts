export { MemoryError, type MemoryErrorCode } from "./errors.js";
export type { Extent, PhysicalMemory } from "./physical-memory.js";
export { type OpenOptions, openMemory } from "./source/open-memory.js";
