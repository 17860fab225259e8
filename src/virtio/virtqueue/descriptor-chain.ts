import { copyOf, type ForeignBytes } from "../../os/index.js";
import { type GuestAddress, guestAddress } from "./address.js";
import { VirtqueueError } from "./errors.js";
import type { GuestMemory } from "./guest-memory.js";

/** struct virtq_desc: addr u64, len u32, flags u16, next u16; little-endian (virtio 2.7.5). */
export const DESCRIPTOR_BYTES = 16;

export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

/** A chain's whole length stays below 2^32 bytes (virtio 2.7.5, driver requirements: MUST NOT exceed). */
const MAX_CHAIN_BYTES = 2 ** 32;

/** One buffer of a chain: where it is in guest memory, and its length in bytes. */
export interface Segment {
  readonly address: GuestAddress;
  readonly length: number;
}

/** One side of a chain, as bytes that happen to lie in several places (virtio 2.7.4: any framing). */
export class Segments {
  readonly length: number;
  readonly #memory: GuestMemory;
  readonly #segments: readonly Segment[];

  constructor(memory: GuestMemory, segments: readonly Segment[]) {
    this.#memory = memory;
    this.#segments = segments;
    this.length = segments.reduce((sum, segment) => sum + segment.length, 0);
  }

  /**
   * The bytes [offset, offset + length) in place, clamped to what there is. The guest may change them
   * at any time: hand them to a system call or copy them, and don't read them twice.
   */
  bytes(offset = 0, length = this.length): ForeignBytes[] {
    const pieces: ForeignBytes[] = [];
    let skip = offset;
    let left = Math.min(length, this.length - offset);
    for (const segment of this.#segments) {
      if (left <= 0) break;
      if (skip >= segment.length) {
        skip -= segment.length;
        continue;
      }
      const take = Math.min(left, segment.length - skip);
      pieces.push(...this.#memory.bytes(guestAddress(segment.address + BigInt(skip)), take));
      left -= take;
      skip = 0;
    }
    return pieces;
  }

  /** A copy of the bytes [offset, offset + length), clamped to what there is. */
  copy(offset: number, length: number): Buffer {
    return copyOf(this.bytes(offset, length));
  }

  /** Writes `bytes` at `offset`, as far as there is room, and returns how many were written. */
  write(bytes: Uint8Array, offset = 0): number {
    let at = 0;
    for (const piece of this.bytes(offset, bytes.length)) {
      piece.copyFrom(bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
    return at;
  }
}

/** A descriptor chain whose every descriptor and address was checked. */
export interface DescriptorChain {
  readonly kind: "chain";
  /** The index of the chain's first descriptor, which the used ring gives back. */
  readonly head: number;
  readonly readable: Segments;
  readonly writable: Segments;
}

/** A chain that breaks a rule. It is completed with used length 0. */
export interface MalformedChain {
  readonly kind: "malformed";
  readonly head: number;
  readonly error: VirtqueueError;
}

/** What parsing a chain needs to know of its queue. */
export interface ChainContext {
  readonly memory: GuestMemory;
  readonly table: DataView;
  readonly queueSize: number;
  /** The most descriptors of a chain: not more than the queue's size. */
  readonly maxDescriptors: number;
  readonly indirect: boolean;
}

/**
 * Follows the chain that starts at `head` of the descriptor table, through one indirect table where
 * there is one. Each descriptor is read once. The count of descriptors is bounded, by the queue size at the
 * latest (virtio 2.7.5.3.1), so a looped chain ends. Throws VirtqueueError.
 */
export function parseChain(context: ChainContext, head: number): DescriptorChain {
  const { memory, queueSize, maxDescriptors } = context;
  const readable: Segment[] = [];
  const writable: Segment[] = [];
  let table = context.table;
  let tableLength = queueSize;
  let inIndirect = false;
  let bytes = 0;
  let index = head;
  let count = 0;

  for (;;) {
    if (index >= tableLength) {
      throw new VirtqueueError(
        "DESCRIPTOR_OUT_OF_RANGE",
        `descriptor ${index} in a table of ${tableLength}`,
      );
    }
    const at = index * DESCRIPTOR_BYTES;
    const address = guestAddress(table.getBigUint64(at, true));
    const length = table.getUint32(at + 8, true);
    const flags = table.getUint16(at + 12, true);
    const next = table.getUint16(at + 14, true);

    if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
      table = indirectTable(context, address, length, flags, inIndirect);
      tableLength = length / DESCRIPTOR_BYTES;
      inIndirect = true;
      index = 0;
      continue;
    }

    if (++count > maxDescriptors) {
      throw new VirtqueueError(
        "CHAIN_TOO_LONG",
        `more than ${maxDescriptors} descriptors in a queue of ${queueSize}: a loop or a chain that is too long`,
      );
    }
    bytes += length;
    if (bytes > MAX_CHAIN_BYTES) {
      throw new VirtqueueError("CHAIN_TOO_LARGE", "a chain of more than 2^32 bytes");
    }
    memory.check(address, length);
    if ((flags & VIRTQ_DESC_F_WRITE) !== 0) {
      writable.push({ address, length });
    } else if (writable.length > 0) {
      throw new VirtqueueError(
        "READABLE_AFTER_WRITABLE",
        "a device-readable descriptor follows a device-writable one",
      );
    } else {
      readable.push({ address, length });
    }

    if ((flags & VIRTQ_DESC_F_NEXT) === 0) break;
    index = next;
  }

  return {
    kind: "chain",
    head,
    readable: new Segments(memory, readable),
    writable: new Segments(memory, writable),
  };
}

/** virtio 2.7.5.3: a copy of the indirect table, so that its descriptors are read once. */
function indirectTable(
  context: ChainContext,
  address: GuestAddress,
  length: number,
  flags: number,
  inIndirect: boolean,
): DataView {
  if (!context.indirect) {
    throw new VirtqueueError(
      "INDIRECT_NOT_NEGOTIATED",
      "an indirect descriptor without VIRTIO_F_INDIRECT_DESC",
    );
  }
  if (inIndirect) {
    throw new VirtqueueError("INDIRECT_NESTED", "an indirect descriptor in an indirect table");
  }
  if ((flags & VIRTQ_DESC_F_NEXT) !== 0) {
    throw new VirtqueueError("INDIRECT_WITH_NEXT", "a descriptor with both INDIRECT and NEXT");
  }
  // Bounded before it is copied: a guest could name a table of 4 GiB.
  if (
    length === 0 ||
    length % DESCRIPTOR_BYTES !== 0 ||
    length > context.queueSize * DESCRIPTOR_BYTES
  ) {
    throw new VirtqueueError("INDIRECT_LENGTH", `an indirect table of ${length} bytes`);
  }
  const table = new Segments(context.memory, [{ address, length }]).copy(0, length);
  return new DataView(table.buffer, table.byteOffset, length);
}
