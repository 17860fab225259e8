import type { UserAddress } from "./address.js";
import { expectArgument, expectBigint, expectNumber, expectObject, MAX_U32 } from "./arguments.js";
import {
  type ChainContext,
  DESCRIPTOR_BYTES,
  type DescriptorChain,
  type MalformedChain,
  parseChain,
} from "./descriptor-chain.js";
import { VirtqueueError } from "./errors.js";
import { GuestMemory } from "./guest-memory.js";
import type { InflightRegion } from "./inflight.js";

/** The largest queue that virtio allows (2.7). */
export const MAX_QUEUE_SIZE = 32768;

const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

/** Where a split virtqueue lies, and how it was negotiated. */
export interface VirtqueueLayout {
  /** Number of descriptors: a power of 2. */
  readonly size: number;
  readonly descriptors: UserAddress;
  readonly available: UserAddress;
  readonly used: UserAddress;
  /** Chains with more descriptors are malformed; the queue's size bounds them, too. */
  readonly maxDescriptors?: number;
  /** VIRTIO_F_INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
  /** The available ring's index of the next chain to take. */
  readonly nextAvailable: number;
  /** In place of it: how much it is ahead of the used ring's index. What was in flight is taken again. */
  readonly aheadOfUsed?: number | undefined;
  /** Says in place of both what was in flight, and is told what is. */
  readonly inflight?: InflightRegion | undefined;
}

/**
 * The device's side of a split virtqueue (virtio 2.7). Chains are taken with pop(), given back with
 * push() in any order, and shown to the driver by publish().
 *
 * Ring indexes are read and written with Atomics: what the driver wrote before it moved the available
 * index is seen after pop(), and what was pushed is in memory before the used index moves.
 */
export class Virtqueue {
  readonly #context: ChainContext;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: DataView;
  readonly #size: number;
  readonly #eventIndex: boolean;
  #nextAvailable: number;
  #nextUsed: number;
  #published: number;
  #inFlight = 0;
  #stopped = false;
  readonly #inflight: InflightRegion | undefined;
  /** How many of the heads that a back-end before this one took are to come again: they come first. */
  #leftAgain: number;
  /** All these heads, once the first of them comes again: until then the ring may begin anew any number of times. */
  #again: Uint16Array | undefined;
  /** Heads that were pushed and not published. */
  #pushed: number[] = [];

  /** Throws ArgumentError; or VirtqueueError where the layout breaks virtio 2.7's rules or isn't in guest memory. */
  constructor(memory: GuestMemory, layout: VirtqueueLayout) {
    expectArgument(memory instanceof GuestMemory, "memory", memory, "a GuestMemory");
    expectLayout(layout);
    const { size } = layout;
    if (size < 1 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0) {
      throw new VirtqueueError("RING_SIZE", `a queue of ${size} descriptors`);
    }
    if (
      layout.descriptors % 16n !== 0n ||
      layout.available % 2n !== 0n ||
      layout.used % 4n !== 0n
    ) {
      throw new VirtqueueError("MISALIGNED_RING", "a ring's part breaks its alignment of 16, 2, 4");
    }
    // The last two bytes of each ring are used_event and avail_event (virtio 2.7.6, 2.7.8).
    this.#available = new Uint16Array(memory.ring(layout.available, 6 + 2 * size));
    const used = memory.ring(layout.used, 6 + 8 * size);
    this.#used = new Uint16Array(used);
    this.#usedElements = new DataView(used, 4);
    this.#context = {
      memory,
      table: new DataView(memory.ring(layout.descriptors, DESCRIPTOR_BYTES * size)),
      queueSize: size,
      maxDescriptors: Math.min(size, layout.maxDescriptors ?? size),
      indirect: layout.indirect,
    };
    this.#size = size;
    this.#eventIndex = layout.eventIndex;
    this.#nextUsed = Atomics.load(this.#used, 1);
    const { aheadOfUsed } = layout;
    const next = aheadOfUsed === undefined ? layout.nextAvailable : this.#nextUsed + aheadOfUsed;
    this.#inflight = layout.inflight;
    this.#leftAgain = this.#inflight?.recover(this.#nextUsed) ?? 0;
    this.#nextAvailable =
      (this.#inflight === undefined ? next : this.#nextUsed + this.#leftAgain) & 0xffff;
    this.#published = this.#nextUsed;
  }

  /** The available ring's index of the next chain to take: what GET_VRING_BASE answers. */
  get nextAvailable(): number {
    return (this.#nextAvailable - this.#leftAgain) & 0xffff;
  }

  /** By how much that would be ahead of the used ring's index if all that is in flight were given back. */
  get aheadOfUsed(): number {
    return (this.nextAvailable - this.#inFlight - this.#nextUsed) & 0xffff;
  }

  /** Chains taken and not given back. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Makes pop() find nothing more, so that what is in flight can end. */
  stop(): void {
    this.#stopped = true;
  }

  /** Has pop() go on. */
  goOn(): void {
    this.#stopped = false;
  }

  /**
   * The next available chain, or undefined where there is none (then the driver's next one kicks).
   * A chain that breaks a rule is told as malformed and is the caller's to complete. Throws where the
   * available ring itself is broken: nothing on it can be trusted until the driver resets the device.
   */
  pop(): DescriptorChain | MalformedChain | undefined {
    if (this.#stopped) return undefined;
    const again = this.#nextAgain();
    if (again !== undefined) return this.#take(again);
    let index = Atomics.load(this.#available, 1);
    if (index === this.#nextAvailable) {
      if (!this.#eventIndex) return undefined;
      // Ask for a kick at the next chain, then look again: one may have come in between.
      Atomics.store(this.#used, 2 + 4 * this.#size, this.#nextAvailable);
      index = Atomics.load(this.#available, 1);
      if (index === this.#nextAvailable) return undefined;
    }
    const waiting = (index - this.#nextAvailable) & 0xffff;
    if (waiting > this.#size) {
      throw new VirtqueueError(
        "INDEX_JUMPED",
        `${waiting} chains available in a queue of ${this.#size}`,
      );
    }
    const slot = this.#nextAvailable & (this.#size - 1);
    const head = Atomics.load(this.#available, 2 + slot);
    if (head >= this.#size) {
      throw new VirtqueueError("HEAD_OUT_OF_RANGE", `head ${head} in a queue of ${this.#size}`);
    }
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    return this.#take(head);
  }

  #nextAgain(): number | undefined {
    if (this.#inflight === undefined) return undefined;
    this.#again ??= this.#inflight.heads();
    // The front-end may have changed what was counted.
    const head = this.#again[this.#again.length - this.#leftAgain];
    if (this.#leftAgain > 0) this.#leftAgain--;
    return head;
  }

  #take(head: number): DescriptorChain | MalformedChain {
    this.#inflight?.take(head);
    this.#inFlight++;
    try {
      return parseChain(this.#context, head);
    } catch (error) {
      if (error instanceof VirtqueueError) {
        return { kind: "malformed", head, error };
      }
      throw error;
    }
  }

  /** Gives a chain back; `usedLength` is how many bytes the device wrote into it (virtio 2.7.8.2). */
  push(head: number, usedLength: number): void {
    const at = (this.#nextUsed & (this.#size - 1)) * 8;
    this.#usedElements.setUint32(at, head, true);
    this.#usedElements.setUint32(at + 4, usedLength, true);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    this.#inFlight--;
    if (this.#inflight !== undefined) this.#pushed.push(head);
  }

  /** Shows the driver what was pushed; true where it wants to be called (virtio 2.7.7.2, 2.7.10). */
  publish(): boolean {
    const before = this.#published;
    const now = this.#nextUsed;
    if (before === now) return false;
    this.#inflight?.batch(this.#pushed);
    Atomics.store(this.#used, 1, now);
    this.#published = now;
    this.#inflight?.given(this.#pushed, now);
    this.#pushed = [];
    if (!this.#eventIndex) {
      return (Atomics.load(this.#available, 0) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const usedEvent = Atomics.load(this.#available, 2 + this.#size);
    return ((now - usedEvent - 1) & 0xffff) < ((now - before) & 0xffff);
  }
}

/** Only what no front-end can be the reason of: what it sends breaks virtio's rules, and is a VirtqueueError. */
function expectLayout(layout: VirtqueueLayout): void {
  expectObject(layout, "layout");
  for (const part of ["descriptors", "available", "used"] as const) {
    expectBigint(layout[part], `layout.${part}`);
  }
  expectNumber(layout.size, "layout.size", 0, MAX_U32);
  const { maxDescriptors, nextAvailable } = layout;
  if (maxDescriptors !== undefined) {
    expectNumber(maxDescriptors, "layout.maxDescriptors", 1, MAX_QUEUE_SIZE);
  }
  expectNumber(nextAvailable, "layout.nextAvailable", 0, MAX_U32);
}
