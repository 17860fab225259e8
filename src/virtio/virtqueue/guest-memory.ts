import type { ForeignBytes, Mapping } from "../../os/index.js";
import type { GuestAddress, UserAddress } from "./address.js";
import { expectBigint, expectObject } from "./arguments.js";
import { VirtqueueError } from "./errors.js";

/** One region of guest memory that a front-end shares, and this process's mapping of it. */
export interface MemoryRegion {
  readonly guestAddress: GuestAddress;
  readonly userAddress: UserAddress;
  /** In bytes, not 0. */
  readonly size: bigint;
  readonly mapping: Pick<Mapping, "bytes" | "view" | "unmap">;
}

const LAST_ADDRESS = 1n << 64n;

/** Memory comes in pages; a ring's alignment within its region is then its alignment here. */
export const PAGE_BYTES = 4096n;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/**
 * The guest's memory: regions with holes between them. What it hands out ends with the region it lies in:
 * nobody keeps any beyond the call it was asked for, except rings, which their session lets go of before a
 * region goes.
 */
export class GuestMemory {
  /** Sorted by guest address, without overlaps. */
  readonly #regions: MemoryRegion[] = [];

  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /** Takes a region over. Throws ArgumentError; or BAD_REGION, and leaves the region to the caller, where it can't be. */
  add(region: MemoryRegion): void {
    expectObject(region, "region");
    expectBigint(region.guestAddress, "region.guestAddress");
    expectBigint(region.userAddress, "region.userAddress");
    expectBigint(region.size, "region.size");
    expectObject(region.mapping, "region.mapping");
    if (region.size <= 0n) throw new VirtqueueError("BAD_REGION", "a region of 0 bytes");
    if (
      region.guestAddress + region.size > LAST_ADDRESS ||
      region.userAddress + region.size > LAST_ADDRESS
    ) {
      throw new VirtqueueError("BAD_REGION", "a region passes the end of the address space");
    }
    if (region.guestAddress % PAGE_BYTES !== 0n || region.userAddress % PAGE_BYTES !== 0n) {
      throw new VirtqueueError("BAD_REGION", "a region that doesn't start at a page's start");
    }
    for (const other of this.#regions) {
      if (
        region.guestAddress < other.guestAddress + other.size &&
        other.guestAddress < region.guestAddress + region.size
      ) {
        throw new VirtqueueError(
          "BAD_REGION",
          `the region at ${hex(region.guestAddress)} overlaps the one at ${hex(other.guestAddress)}`,
        );
      }
    }
    this.#regions.push(region);
    this.#regions.sort((a, b) => (a.guestAddress < b.guestAddress ? -1 : 1));
  }

  /** Unmaps the region with exactly these addresses and size; false where there is none. */
  remove(region: Pick<MemoryRegion, "guestAddress" | "userAddress" | "size">): boolean {
    const index = this.#regions.findIndex(
      (known) =>
        known.guestAddress === region.guestAddress &&
        known.userAddress === region.userAddress &&
        known.size === region.size,
    );
    if (index < 0) return false;
    for (const removed of this.#regions.splice(index, 1)) removed.mapping.unmap();
    return true;
  }

  /** Unmaps every region. */
  clear(): void {
    for (const region of this.#regions.splice(0)) region.mapping.unmap();
  }

  /**
   * The bytes [address, address + length) in place. A buffer may cross regions that touch in guest
   * addresses; one that reaches into a hole throws BAD_ADDRESS.
   */
  bytes(address: GuestAddress, length: number): ForeignBytes[] {
    const pieces: ForeignBytes[] = [];
    this.#walk(address, length, (region, offset, bytes) => {
      pieces.push(region.mapping.bytes(offset, bytes));
    });
    return pieces;
  }

  /** Copies [address, address + bytes.length) from `bytes`. */
  write(address: GuestAddress, bytes: Uint8Array): void {
    let at = 0;
    for (const piece of this.bytes(address, bytes.length)) {
      piece.copyFrom(bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
  }

  /** Throws BAD_ADDRESS unless all of [address, address + length) is memory. */
  check(address: GuestAddress, length: number): void {
    this.#walk(address, length, () => undefined);
  }

  /** `length` bytes at a front-end's address as one view, as a ring needs them. */
  ring(address: UserAddress, length: number): ArrayBuffer {
    for (const region of this.#regions) {
      const offset = address - region.userAddress;
      if (offset < 0n || offset + BigInt(length) > region.size) continue;
      return region.mapping.view(offset, length);
    }
    throw new VirtqueueError(
      "BAD_ADDRESS",
      `${length} bytes at the front-end's address ${hex(address)} lie in no region`,
    );
  }

  #walk(
    address: GuestAddress,
    length: number,
    visit: (region: MemoryRegion, offset: bigint, bytes: number) => void,
  ): void {
    let at: bigint = address;
    let left = length;
    while (left > 0) {
      const region = this.#find(at);
      if (region === undefined) {
        throw new VirtqueueError("BAD_ADDRESS", `${hex(at)} is in no region of guest memory`);
      }
      const offset = at - region.guestAddress;
      const room = region.size - offset;
      const bytes = room < BigInt(left) ? Number(room) : left;
      visit(region, offset, bytes);
      at += BigInt(bytes);
      left -= bytes;
    }
  }

  #find(address: bigint): MemoryRegion | undefined {
    for (const region of this.#regions) {
      if (address < region.guestAddress) return undefined;
      if (address < region.guestAddress + region.size) return region;
    }
    return undefined;
  }
}
