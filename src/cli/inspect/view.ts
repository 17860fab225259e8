import type { Option } from "commander";
import type { Kernel } from "../../memory/kernel/index.js";
import type { Notes } from "../../memory/kernel/notes.js";
import type { PhysicalMemory } from "../../memory/physical-memory.js";

/** What a view is made from. */
export interface Looked {
  /** As Place has its name. */
  readonly source: string;
  readonly memory: PhysicalMemory;
  /** The Linux in it, found when first asked for. Throws MemoryError where there is none. */
  readonly kernel: Kernel;
  /** What is to be said beside what is shown; what the kernel's notes say comes before. */
  readonly notes: Notes;
  /** All options of the command, by commander's names. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a view shows. What couldn't be read is in the kernel's notes. */
export interface Shown {
  /** Lines without their ends; the guest's text in them is made printable where they are written. */
  readonly lines: Iterable<string>;
  /** For --json: addresses are texts as in `0xffffffff81000000`, 64-bit numbers are texts, too. */
  json(): unknown;
}

/** One of the things that `inspect` shows; each is a file beside this one. */
export interface View {
  readonly name: string;
  /** For the help: what it shows. */
  readonly summary: string;
  /** The options that are for this view, and maybe others: the same object where several views take it. */
  readonly options?: readonly Option[];
  show(looked: Looked): Shown | Promise<Shown>;
  /** Shows what comes, until the signal; for --follow. */
  follow?(looked: Looked, signal: AbortSignal): AsyncIterable<string>;
}
