import {
  type GuestMemory,
  type InflightRegion,
  userAddress,
  Virtqueue,
  VirtqueueError,
} from "../virtqueue/index.js";
import type { DeviceQueue, LogEvent, VirtioDevice } from "./device.js";
import { bit, Feature, type VringAddress } from "./protocol.js";
import type { RingState } from "./session-state.js";
import { VringNotifiers, type VringNotifiersOwner } from "./vring-notifiers.js";

/** What a vring needs of the session it belongs to. */
export interface VringOwner extends VringNotifiersOwner {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  /** The negotiated feature bits. */
  readonly features: bigint;
  /** Why there is none, where `memory` has no region. */
  readonly whyNoMemory: string;
  /** Where the front-end keeps what a ring has in flight. */
  inflight(index: number, size: number): InflightRegion | undefined;
  log(event: LogEvent): void;
  /** A chain was given back: whoever waits for the queues to be idle may go on. */
  completed(): void;
  /** The device failed in a way that isn't the driver's doing: the connection ends. */
  fail(error: unknown): void;
}

/**
 * One vring's state (vhost-user, "Ring states"): stopped until a kick descriptor comes, processed while
 * it is started and enabled.
 */
export class Vring {
  readonly index: number;
  readonly #owner: VringOwner;
  #size = 0;
  #address: VringAddress | undefined;
  #nextAvailable = 0;
  /** As a restored state has it, until the ring is processed again. */
  #aheadOfUsed: number | undefined;
  #baseCount = 0;
  #enabled = false;
  #started = false;
  #broken = false;
  #noMemorySaid: string | undefined;
  readonly #notifiers: VringNotifiers;
  #queue: Virtqueue | undefined;
  #handle: DeviceQueue | undefined;
  #scheduled = false;

  constructor(index: number, owner: VringOwner) {
    this.index = index;
    this.#owner = owner;
    this.#notifiers = new VringNotifiers(owner, () => {
      this.#process();
    });
  }

  setSize(size: number): void {
    this.#size = size;
  }

  setAddress(address: VringAddress): void {
    this.#address = address;
    if (this.#queue !== undefined) this.suspend();
    this.resume();
  }

  setBase(nextAvailable: number): void {
    this.#nextAvailable = nextAvailable & 0xffff;
    this.#baseCount = (this.#baseCount + 1) & 0xffff;
    this.#aheadOfUsed = undefined;
  }

  setEnabled(enabled: boolean): void {
    this.#enabled = enabled;
    if (enabled) this.resume();
    else this.suspend();
  }

  /** SET_VRING_KICK starts the ring; without a descriptor it is polled, which only happens at once. */
  setKick(fd: number | undefined): void {
    this.#started = true;
    this.#notifiers.setKick(fd);
    // A running ring may have been kicked between the two descriptors.
    if (this.#queue !== undefined) this.#schedule();
    this.resume();
  }

  setCall(fd: number | undefined): void {
    this.#notifiers.setCall(fd);
    // What was published before the descriptor came may have called nobody.
    if (this.#queue !== undefined) this.#notifiers.call();
  }

  setErr(fd: number | undefined): void {
    this.#notifiers.setErr(fd);
  }

  /** What another process needs to go on with the ring. */
  get state(): RingState {
    return {
      size: this.#size,
      address: this.#address,
      nextAvailable: this.#nextAvailable,
      baseCount: this.#baseCount,
      aheadOfUsed: this.#queue?.aheadOfUsed ?? this.#aheadOfUsed,
      enabled: this.#enabled,
      started: this.#started,
      ...this.#notifiers.names,
    };
  }

  /**
   * Goes on with a ring of a former process. The owner's nameOf() knows the descriptors. Throws where
   * the ring's layout is wrong, with all else done.
   */
  restore(
    state: RingState,
    descriptors: { readonly [name in "kick" | "call" | "err"]: number | undefined },
  ): void {
    this.#size = state.size;
    this.#address = state.address;
    this.#nextAvailable = state.nextAvailable;
    this.#baseCount = state.baseCount;
    this.#aheadOfUsed = state.aheadOfUsed;
    this.#enabled = state.enabled;
    this.setErr(descriptors.err);
    this.setCall(descriptors.call);
    if (state.started) this.setKick(descriptors.kick);
    // The former process may have died between giving chains back and telling so.
    if (this.#queue !== undefined) this.#notifiers.call();
  }

  /** Its front-end started it and didn't stop it since, whether its memory is there or not. */
  get runs(): boolean {
    return this.#started && this.#enabled;
  }

  /** Chains taken and not given back. */
  get inFlight(): number {
    return this.#queue?.inFlight ?? 0;
  }

  /** Takes no more chains; those in flight may end. */
  quiesce(): void {
    this.#queue?.stop();
  }

  /** GET_VRING_BASE: stops the ring and tells where it stands. Nothing is in flight. */
  stop(): number {
    this.suspend();
    this.#notifiers.setKick(undefined);
    this.#notifiers.setCall(undefined);
    this.#started = false;
    this.#broken = false;
    return this.#nextAvailable;
  }

  /** Back to how a new connection finds it, but for the size, which the front-end need not repeat. */
  reset(): void {
    this.stop();
    this.#enabled = false;
    this.setBase(0);
    this.#address = undefined;
  }

  close(): void {
    this.reset();
    this.setErr(undefined);
  }

  /** Lets go of the ring's memory. What is in flight is dropped: its completions find a dead queue. */
  suspend(): void {
    if (this.#queue !== undefined) {
      // A device may publish what it pushed later; there is no later for this queue.
      this.#publish(this.#queue);
      this.#nextAvailable = this.#queue.nextAvailable;
    }
    this.#queue = undefined;
    this.#handle = undefined;
  }

  /** Processes the ring if everything for it is there. Throws where its layout is wrong. */
  resume(): void {
    if (this.#queue !== undefined) {
      this.#queue.goOn();
      this.#schedule();
      return;
    }
    if (!this.#started || !this.#enabled || this.#broken) return;
    if (this.#address === undefined) return;
    if (this.#owner.memory.regions.length === 0) {
      this.#sayNoMemory();
      return;
    }
    this.#noMemorySaid = undefined;
    const { features } = this.#owner;
    this.#queue = new Virtqueue(this.#owner.memory, {
      size: this.#size,
      descriptors: userAddress(this.#address.descriptor),
      available: userAddress(this.#address.available),
      used: userAddress(this.#address.used),
      maxDescriptors: this.#owner.device.maxDescriptors,
      indirect: (features & bit(Feature.RING_INDIRECT_DESC)) !== 0n,
      eventIndex: (features & bit(Feature.RING_EVENT_IDX)) !== 0n,
      nextAvailable: this.#nextAvailable,
      aheadOfUsed: this.#aheadOfUsed,
      inflight: this.#owner.inflight(this.index, this.#size),
    });
    this.#aheadOfUsed = undefined;
    this.#handle = this.#deviceQueue(this.#queue);
    // Kicks may have been lost with a former back-end or before the ring was enabled.
    this.#schedule();
  }

  /** Once for each reason: whatever the front-end says next tries the ring again. */
  #sayNoMemory(): void {
    const reason = this.#owner.whyNoMemory;
    if (reason === this.#noMemorySaid) return;
    this.#noMemorySaid = reason;
    this.#owner.log({
      level: "warn",
      code: "NO_MEMORY",
      message: `queue ${this.index} was started, but no guest memory is shared: ${reason}`,
    });
  }

  /** A dead queue's memory may be unmapped: touching it would end the process. */
  #deviceQueue(queue: Virtqueue): DeviceQueue {
    const isLive = () => this.#queue === queue;
    const { loop } = this.#owner;
    const base = this.#baseCount * 0x10000;
    return {
      index: this.index,
      get live() {
        return isLive();
      },
      get isTurnOver() {
        return loop.isTurnOver;
      },
      get position() {
        return base + queue.nextAvailable;
      },
      pop: () => (isLive() ? queue.pop() : undefined),
      push: (head, usedLength) => {
        if (isLive()) queue.push(head, usedLength);
      },
      schedule: () => {
        this.#schedule();
      },
      publish: () => {
        if (isLive()) this.#publish(queue);
        this.#owner.completed();
      },
    };
  }

  #publish(queue: Virtqueue): void {
    if (queue.publish()) this.#notifiers.call();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#owner.loop.defer(() => {
      this.#scheduled = false;
      this.#process();
    });
  }

  #process(): void {
    if (this.#handle === undefined || this.#broken) return;
    try {
      this.#owner.device.process(this.#handle);
    } catch (error) {
      if (!(error instanceof VirtqueueError)) {
        this.#owner.fail(error);
        return;
      }
      this.#broken = true;
      this.#owner.log({
        level: "error",
        code: error.code,
        message: `queue ${this.index} is not served until the device is reset: ${error.message}`,
      });
      this.#notifiers.err();
    }
  }
}
