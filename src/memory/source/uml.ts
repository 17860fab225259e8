import type { Block, HostMapping } from "./maps.js";
import { ANONYMOUS } from "./maps.js";
import type { Placed } from "./process-layout.js";

/**
 * A user-mode-linux's kernel, at its own addresses: they are the process's. Its physical memory is a file without a
 * name, mapped so that it begins where the program does (arch/um/kernel/physmem.c). What is static in the kernel is
 * in the program's own mappings instead. Undefined where the process is none.
 */
export function umlLayout(mappings: readonly HostMapping[]): Placed[] | undefined {
  const image = mappings.at(0);
  if (image === undefined || image.file === ANONYMOUS) return undefined;
  const memory = mappings.find(
    ({ isShared, file, start, offset }) =>
      isShared && file !== ANONYMOUS && file !== image.file && start - offset === image.start,
  );
  if (memory === undefined) return undefined;
  // vmalloc's area is the last that has pages of it.
  const end = Math.max(...mappings.map((one) => (one.file === memory.file ? one.end : 0)));
  return mappings
    .filter((one) => one.end <= end)
    .map((one): Placed => {
      const block: Block = { ...one, size: one.end - one.start };
      return { start: one.start, size: block.size, block, from: 0 };
    });
}
