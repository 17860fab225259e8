import type { UserRegisters } from "./registers.js";

/** A run of guest-physical addresses, in bytes. Physical addresses have at most 52 bits: a number holds them exactly. */
export interface Extent {
  readonly start: number;
  readonly size: number;
}

/** A guest's physical memory, read from outside. */
export interface PhysicalMemory {
  /** Where the guest has memory, ascending, not overlapping. */
  readonly regions: readonly Extent[];
  /** The parts of the regions that hold anything, asked of the source anew; what is left out reads as zeros. */
  extents(): Extent[];
  /**
   * Reads from `address`. A hole reads as zeros and stays a hole.
   * @returns how many bytes are there: fewer than `into` has where a region ends.
   */
  read(address: number, into: Buffer): number;
  /** The CPUs' registers by their numbers, where the source has them beside the memory: a core. */
  readonly registers?: ReadonlyMap<number, UserRegisters>;
  close(): void;
}
