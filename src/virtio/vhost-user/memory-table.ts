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

/** The guest's memory as the front-end describes it: as one table, or region by region. */
export class MemoryTable {
  readonly memory = new GuestMemory();
  readonly #nameOf: (fd: number) => string;
  readonly #onUnsealed: () => void;
  #states: RegionState[] = [];
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
    return this.#states;
  }

  /** Maps a region again that a former process had. Closes `fd`. */
  restore(state: RegionState, fd: number): void {
    try {
      this.#map(state, fd, state.file);
    } finally {
      closeDescriptor(fd);
    }
  }

  clear(): void {
    this.memory.clear();
    this.#states = [];
  }

  /** SET_MEM_TABLE: all regions anew. On an error there is no memory at all. Closes `descriptors`. */
  replace(regions: readonly RegionDescription[], descriptors: readonly number[]): void {
    try {
      this.clear();
      if (regions.length !== descriptors.length) {
        throw new ProtocolError(
          "BAD_DESCRIPTORS",
          `${descriptors.length} descriptors came for ${regions.length} regions`,
        );
      }
      regions.forEach((region, i) => {
        const fd = descriptors[i] ?? -1;
        this.#map(region, fd, this.#nameOf(fd));
      });
    } catch (error) {
      this.clear();
      throw error;
    } finally {
      for (const fd of descriptors) closeDescriptor(fd);
    }
  }

  /** ADD_MEM_REG: one region more. Closes `descriptors`. */
  add(region: RegionDescription, descriptors: readonly number[]): void {
    try {
      const [fd] = descriptors;
      if (fd === undefined || descriptors.length !== 1) {
        throw new ProtocolError(
          "BAD_DESCRIPTORS",
          `${descriptors.length} descriptors came for one region`,
        );
      }
      this.#map(region, fd, this.#nameOf(fd));
    } finally {
      for (const fd of descriptors) closeDescriptor(fd);
    }
  }

  /** REM_MEM_REG. */
  remove(region: RegionDescription): void {
    const known = this.memory.remove({
      guestAddress: guestAddress(region.guestAddress),
      userAddress: userAddress(region.userAddress),
      size: region.size,
    });
    if (!known) throw new ProtocolError("BAD_VALUE", "REM_MEM_REG names a region that isn't there");
    this.#states = this.#states.filter(({ guestAddress }) => guestAddress !== region.guestAddress);
  }

  #map(description: RegionDescription, fd: number, file: string): void {
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
      this.memory.add(region);
      this.#states.push({ ...description, file });
    } catch (error) {
      mapping.unmap();
      throw error;
    }
  }
}
