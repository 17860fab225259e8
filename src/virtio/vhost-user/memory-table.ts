import { fstatSync } from "node:fs";
import { cannotShrink, closeDescriptor, Mapping } from "../../os/index.js";
import {
  GuestMemory,
  guestAddress,
  type MemoryRegion,
  PAGE_BYTES,
  userAddress,
  VirtqueueError,
} from "../virtqueue/index.js";
import { ProtocolError, type RegionDescription } from "./protocol.js";
import type { RegionState } from "./session-state.js";

/** Regions in all: each is a mapping, and Linux allows a process 65,530 of them. */
export const MAX_MEMORY_SLOTS = 64;

const MAX_FILE_OFFSET = 1n << 63n;

/** Where a region's bytes are, for whoever may look into this process's descriptors. Sizes in bytes. */
export interface SharedRegion {
  readonly guestAddress: bigint;
  readonly size: bigint;
  /** This process's descriptor of the region's file, while the region is there. */
  readonly fd: number;
  /** Where in the file the region begins. */
  readonly offset: bigint;
  /** Which file it is: st_dev and st_ino. */
  readonly device: bigint;
  readonly inode: bigint;
}

interface Region {
  readonly state: RegionState;
  readonly shared: SharedRegion;
}

/** The guest's memory as the front-end describes it: as one table, or region by region. */
export class MemoryTable {
  readonly memory = new GuestMemory();
  readonly #nameOf: (fd: number) => string;
  readonly #onUnsealed: () => void;
  #regions: Region[] = [];
  #unsealed = false;

  /**
   * `nameOf` names the descriptors that come with regions. `onUnsealed` is called once where the front-end
   * can shorten a region's file: to touch what was there would end this process with SIGBUS.
   */
  constructor(nameOf: (fd: number) => string, onUnsealed: () => void) {
    this.#nameOf = nameOf;
    this.#onUnsealed = onUnsealed;
  }

  /** The regions that are there. */
  get states(): readonly RegionState[] {
    return this.#regions.map(({ state }) => state);
  }

  /** The same for another process that is to read them. */
  get shared(): readonly SharedRegion[] {
    return this.#regions.map(({ shared }) => shared);
  }

  /** Maps a region again that a former process had. Takes `fd` over. */
  restore(state: RegionState, fd: number): void {
    this.#map(state, fd, () => state.file);
  }

  clear(): void {
    this.memory.clear();
    for (const { shared } of this.#regions.splice(0)) closeDescriptor(shared.fd);
  }

  /** SET_MEM_TABLE: all regions anew. On an error there is no memory at all. Takes `descriptors` over. */
  replace(regions: readonly RegionDescription[], descriptors: readonly number[]): void {
    const left = [...descriptors];
    try {
      this.clear();
      if (regions.length !== descriptors.length) {
        throw new ProtocolError(
          "BAD_DESCRIPTORS",
          `${descriptors.length} descriptors came for ${regions.length} regions`,
        );
      }
      for (const region of regions) {
        this.#map(region, left.shift() ?? -1, this.#nameOf);
      }
    } catch (error) {
      this.clear();
      throw error;
    } finally {
      for (const fd of left) closeDescriptor(fd);
    }
  }

  /** ADD_MEM_REG: one region more. Takes `descriptors` over. */
  add(region: RegionDescription, descriptors: readonly number[]): void {
    const [fd] = descriptors;
    if (fd === undefined || descriptors.length !== 1) {
      for (const other of descriptors) closeDescriptor(other);
      throw new ProtocolError(
        "BAD_DESCRIPTORS",
        `${descriptors.length} descriptors came for one region`,
      );
    }
    this.#map(region, fd, this.#nameOf);
  }

  /** REM_MEM_REG. */
  remove(region: RegionDescription): void {
    const known = this.memory.remove({
      guestAddress: guestAddress(region.guestAddress),
      userAddress: userAddress(region.userAddress),
      size: region.size,
    });
    if (!known) throw new ProtocolError("BAD_VALUE", "REM_MEM_REG names a region that isn't there");
    const at = this.#regions.findIndex(({ shared }) => shared.guestAddress === region.guestAddress);
    for (const { shared } of this.#regions.splice(at, 1)) closeDescriptor(shared.fd);
  }

  /** Takes `fd` over. */
  #map(description: RegionDescription, fd: number, nameOf: (fd: number) => string): void {
    try {
      this.#regions.push(this.#mapped(description, fd, nameOf(fd)));
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  #mapped(description: RegionDescription, fd: number, file: string): Region {
    if (this.memory.regions.length >= MAX_MEMORY_SLOTS) {
      throw new ProtocolError("BAD_VALUE", `more than ${MAX_MEMORY_SLOTS} memory regions`);
    }
    const { size, mmapOffset } = description;
    if (mmapOffset % PAGE_BYTES !== 0n || mmapOffset + size >= MAX_FILE_OFFSET) {
      throw new VirtqueueError("BAD_REGION", `a region at offset ${mmapOffset} of its file`);
    }
    const mapping = new Mapping(fd, mmapOffset, size);
    if (!this.#unsealed && !cannotShrink(fd)) {
      this.#unsealed = true;
      this.#onUnsealed();
    }
    const region: MemoryRegion = {
      guestAddress: guestAddress(description.guestAddress),
      userAddress: userAddress(description.userAddress),
      size,
      mapping,
    };
    try {
      const { dev: device, ino: inode } = fstatSync(fd, { bigint: true });
      this.memory.add(region);
      const { guestAddress } = description;
      const shared = { guestAddress, size, fd, offset: mmapOffset, device, inode };
      return { state: { ...description, file }, shared };
    } catch (error) {
      mapping.unmap();
      throw error;
    }
  }
}
