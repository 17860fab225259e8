import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";

/** More of a command line isn't read. */
const MAX_BYTES = 4096;

/**
 * What a process was started with, its arguments separated by spaces, each byte as a character. The process may
 * change it; it lies in its own memory, which may be swapped out: then there is none.
 */
export function readCommandLine(kernel: Kernel, task: Struct): string | undefined {
  try {
    const mm = task.follow("mm");
    if (mm === undefined) return undefined;
    const start = mm.u64("arg_start");
    const size = Math.min(Number(mm.u64("arg_end") - start), MAX_BYTES);
    if (size <= 0) return undefined;
    const bytes = kernel.read(start, size, kernel.addressSpace(mm.pointer("pgd")));
    const text = bytes.toString("latin1").replace(/\0+$/, "").replaceAll("\0", " ");
    return text === "" ? undefined : text;
  } catch (error) {
    if (error instanceof MemoryError && error.code !== "TOO_MUCH") return undefined;
    throw error;
  }
}
