import type { PhysicalMemory } from "../physical-memory.js";
import { type OpenOptions, openFile } from "./open-file.js";
import { openProcess } from "./process.js";
import { openShared, type SharedMemory } from "./shared.js";

export type { OpenOptions, SharedMemory };

/** The path of a memory file or a core, the number of a VMM's process, or where shared memory is. */
export type MemorySource = string | number | SharedMemory;

/** A guest's memory. Throws MemoryError; for a path also the error of open(2). */
export function openMemory(source: MemorySource, options: OpenOptions = {}): PhysicalMemory {
  if (typeof source === "object") return openShared(source);
  return typeof source === "number" ? openProcess(source, options) : openFile(source, options);
}
