import { ftruncateSync } from "node:fs";
import { closeDescriptor, createMemfd, Mapping, sealLength } from "../../src/os/index.js";

/** Where a region of the fake guest's memory lies. */
export interface RamSpec {
  readonly guestAddress: bigint;
  /** In bytes. The memfd is sparse: a large region costs only what is touched. */
  readonly size: bigint;
  /** The front-end's own address; one of its own for each region where not given. */
  readonly userAddress?: bigint;
  /** Where the region begins in its file: 0 where not given. */
  readonly fileOffset?: bigint;
  /** The region lies in the same file as the one before it, as QEMU's memory below and above 4 GiB does. */
  readonly sameFile?: boolean;
  /** The file can be shortened, as user-mode-linux's can. */
  readonly unsealed?: boolean;
}

/** One region, and its memfd. */
export interface RamRegion {
  readonly guestAddress: bigint;
  readonly userAddress: bigint;
  readonly size: bigint;
  readonly fileOffset: bigint;
  readonly fd: number;
}

export const MIB = 1n << 20n;
export const GIB = 1n << 30n;

/** Front-end addresses have nothing to do with guest addresses, so that mixing them up shows. */
const USER_BASE = 0x7f00_0000_0000n;
const USER_STEP = 0x0010_0000_0000n;

/** The fake guest's memory: memfds, as a front-end shares them. */
export class GuestRam {
  readonly regions: readonly RamRegion[];
  readonly #mappings: readonly Mapping[];
  /** The next byte that allocate() gives, for each region. */
  readonly #free: bigint[];
  #open = true;

  constructor(specs: readonly RamSpec[] = [{ guestAddress: 0n, size: 16n * MIB }]) {
    const regions: RamRegion[] = [];
    const lengths = new Map<number, bigint>();
    specs.forEach((spec, i) => {
      const fd =
        spec.sameFile === true ? (regions[i - 1]?.fd ?? -1) : createMemfd(`guest-ram-${i}`);
      const fileOffset = spec.fileOffset ?? 0n;
      const end = fileOffset + spec.size;
      if (end > (lengths.get(fd) ?? 0n)) {
        ftruncateSync(fd, Number(end));
        lengths.set(fd, end);
      }
      regions.push({
        guestAddress: spec.guestAddress,
        userAddress: spec.userAddress ?? USER_BASE + BigInt(i) * USER_STEP,
        size: spec.size,
        fileOffset,
        fd,
      });
    });
    regions.forEach(({ fd }, i) => {
      if (specs[i]?.unsealed !== true) sealLength(fd);
    });
    this.regions = regions;
    this.#mappings = regions.map(({ fd, fileOffset, size }) => new Mapping(fd, fileOffset, size));
    this.#free = regions.map(() => 0n);
  }

  /** The guest address of `length` bytes that nobody else has, in region `region`. */
  allocate(length: number, alignment = 16n, region = 0): bigint {
    const { guestAddress, size } = this.region(region);
    const start = (((this.#free[region] ?? 0n) + alignment - 1n) / alignment) * alignment;
    const end = start + BigInt(length);
    if (end > size) throw new RangeError(`region ${region} of the fake guest's memory is full`);
    this.#free[region] = end;
    return guestAddress + start;
  }

  /**
   * The bytes at a guest address, which must lie in one region. Make the view once: it costs more than
   * what is done with it. It ends with close().
   */
  bytes(address: bigint, length: number): Buffer {
    const index = this.#indexOf(address, length);
    const mapping = this.#mappings[index];
    if (mapping === undefined || !this.#open) throw new Error("the fake guest's memory is gone");
    return Buffer.from(mapping.view(address - this.region(index).guestAddress, length));
  }

  /** A guest address as the front-end sees it: what SET_VRING_ADDR holds. */
  userAddress(address: bigint): bigint {
    const { guestAddress, userAddress } = this.region(this.#indexOf(address, 1));
    return userAddress + (address - guestAddress);
  }

  region(index: number): RamRegion {
    const region = this.regions[index];
    if (region === undefined) throw new RangeError(`no region ${index}`);
    return region;
  }

  /** Lets go of the memory: no view of it may be used any more. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const mapping of this.#mappings) mapping.unmap();
    for (const fd of new Set(this.regions.map((region) => region.fd))) closeDescriptor(fd);
  }

  #indexOf(address: bigint, length: number): number {
    const index = this.regions.findIndex(
      ({ guestAddress, size }) =>
        address >= guestAddress && address + BigInt(length) <= guestAddress + size,
    );
    if (index < 0) throw new RangeError(`no guest memory at 0x${address.toString(16)}`);
    return index;
  }
}
