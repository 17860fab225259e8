/** A physical address, and how many bytes from there on belong to the same page, of whatever size. */
export interface Run {
  readonly physical: number;
  readonly size: number;
}

/** Where virtual addresses lead. */
export interface AddressSpace {
  /** How many page tables were read so far, some of them again and again. */
  readonly reads: number;
  /** Undefined where nothing is mapped. */
  translate(virtual: bigint): Run | undefined;
  /** The guest may have changed what is mapped: it is read anew. */
  forget(): void;
}

/** Physical addresses have at most 52 bits. */
const ADDRESS_END = 2n ** 52n;

/** A kernel that is a process, whose memory was opened at the process's own addresses: user-mode-linux. */
export class SameAddresses implements AddressSpace {
  readonly reads = 0;

  translate(virtual: bigint): Run | undefined {
    if (virtual < 0n || virtual >= ADDRESS_END) return undefined;
    return { physical: Number(virtual), size: Number(ADDRESS_END - virtual) };
  }

  forget(): void {
    // Nothing is remembered.
  }
}
