import type { UserRegisters } from "../registers.js";

/** What a core says beside the memory itself: of the kernel in it, as its readers want it. */
export interface CoreFacts {
  /** The text of VMCOREINFO. */
  readonly vmcoreInfo: Buffer;
  /** Where the kernel has all physical memory (page_offset_base). */
  readonly directMap: bigint;
  /** The kernel's image: from _text to _end. */
  readonly image: { readonly virtual: bigint; readonly physical: number; readonly size: number };
  /** phys_base: what is added to an address of the image, less __START_KERNEL_map, to get the physical one. */
  readonly physBase: bigint;
  /** init_uts_ns: system, node, release, version, machine, domain. */
  readonly uts: readonly string[];
  /** Of each CPU in turn, as far as known. */
  readonly registers: readonly UserRegisters[];
}
