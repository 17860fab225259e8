import { ftruncateSync } from "node:fs";
import { closeDescriptor, createMemfd, Mapping, sealLength } from "../../src/os/index.js";
import { GuestMemory, guestAddress, userAddress } from "../../src/virtio/virtqueue/index.js";

/** Where things lie in the hostile guest's memory: offsets in its file, and guest addresses too. */
export const TABLE = 0;
export const AVAILABLE = 0x800;
export const USED = 0xa00;
export const INDIRECT = 0x1000;
export const BUFFERS = 0x2000;

/** Of the file: the first two regions touch, the third lies behind a hole. */
const REGIONS = [
  { at: 0, bytes: 0x8000, guest: 0n },
  { at: 0x8000, bytes: 0x4000, guest: 0x8000n },
  { at: 0xc000, bytes: 0x1000, guest: 0x20000n },
];
export const MEMORY_BYTES = 0xd000;

/** As the front-end sees the file. */
const USER_BASE = 0x7f00_0000_0000n;

/** Memory that a guest shares, and changes whenever somebody looks at it. */
export class HostileMemory {
  readonly memory = new GuestMemory();
  /** All of it, by the offset in its file. */
  readonly bytes: Buffer;
  /** Called before each look at guest memory, with its offset in the file and its length. */
  onAccess: (at: number, bytes: number) => void = () => undefined;
  readonly #fd = createMemfd("hostile");
  readonly #whole: Mapping;

  constructor() {
    ftruncateSync(this.#fd, MEMORY_BYTES);
    sealLength(this.#fd);
    this.#whole = new Mapping(this.#fd, 0n, BigInt(MEMORY_BYTES));
    this.bytes = Buffer.from(this.#whole.view(0n, MEMORY_BYTES));
    for (const { at, bytes, guest } of REGIONS) {
      const mapping = new Mapping(this.#fd, BigInt(at), BigInt(bytes));
      const rings = new Map<number, ArrayBuffer>();
      this.memory.add({
        guestAddress: guestAddress(guest),
        userAddress: userAddress(USER_BASE + BigInt(at)),
        size: BigInt(bytes),
        mapping: {
          bytes: (offset, length) => {
            this.onAccess(at + Number(offset), length);
            return mapping.bytes(offset, length);
          },
          view: (offset, length) => {
            // Made once: a view of memory costs more than all that is done with it here.
            const key = Number(offset) * MEMORY_BYTES + length;
            const view = rings.get(key) ?? mapping.view(offset, length);
            rings.set(key, view);
            return view;
          },
          unmap: () => {
            mapping.unmap();
          },
        },
      });
    }
  }

  get fd(): number {
    return this.#fd;
  }

  /** The front-end's address of an offset in the file. */
  userAddress(at: number): bigint {
    return USER_BASE + BigInt(at);
  }

  /** Zeros where rings and tables lie. */
  reset(): void {
    this.bytes.fill(0, 0, BUFFERS);
  }

  close(): void {
    this.memory.clear();
    this.#whole.unmap();
    closeDescriptor(this.#fd);
  }
}
