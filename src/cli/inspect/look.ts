import { MemoryError } from "../../memory/errors.js";
import { openMemory } from "../../memory/index.js";
import { type Kernel, openKernel } from "../../memory/kernel/index.js";
import { Notes } from "../../memory/kernel/notes.js";
import { kernelFits } from "../../memory/kernel-fits.js";
import { UserError } from "../../service/errors.js";
import type { Place } from "./place.js";
import type { Looked } from "./view.js";

/** A guest's memory, and what goes on from one view to the next. */
export interface Look {
  readonly looked: Looked;
  /** The notes until here; then a new budget, for the next view. */
  next(): string[];
}

/** Calls `use` with a guest's memory. What is wrong with it is said in one line that names the source. */
export async function withMemory<T>(
  { name: source, source: memorySource }: Place,
  options: Readonly<Record<string, unknown>>,
  use: (look: Look) => Promise<T>,
): Promise<T> {
  try {
    const layout = typeof options.layout === "string" ? { layout: options.layout } : {};
    const memory = openMemory(memorySource, { ...layout, fits: kernelFits });
    let kernel: Kernel | undefined;
    const notes = new Notes();
    try {
      const looked: Looked = {
        source,
        memory,
        options,
        notes,
        get kernel() {
          kernel ??= openKernel(memory);
          return kernel;
        },
      };
      const next = () => {
        kernel?.budget.renew();
        return [...(kernel?.notes.take() ?? []), ...notes.take()];
      };
      return await use({ looked, next });
    } finally {
      memory.close();
    }
  } catch (error) {
    throw error instanceof MemoryError ? new UserError(`${source}: ${error.message}`) : error;
  }
}
