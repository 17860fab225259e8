import type { PhysicalMemory } from "../physical-memory.js";
import { type OpenOptions, openFile } from "./open-file.js";
import { openProcess } from "./process.js";

export type { OpenOptions };

/**
 * A guest's memory: by the path of a memory file or a core, or by the number of a VMM's process. Throws MemoryError;
 * for a path also the error of open(2).
 */
export function openMemory(source: string | number, options: OpenOptions = {}): PhysicalMemory {
  return typeof source === "number" ? openProcess(source, options) : openFile(source, options);
}
