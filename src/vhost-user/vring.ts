import { closeDescriptor, drain, type EventLoop, setNonBlocking, signal } from "../native/index.js";
import { type GuestMemory, userAddress, Virtqueue, VirtqueueError } from "../virtqueue/index.js";
import type { DeviceQueue, LogEvent, VirtioDevice } from "./device.js";
import { bit, Feature, type VringAddress } from "./protocol.js";

/** What a vring needs of the session it belongs to. */
export interface VringOwner {
  readonly loop: EventLoop;
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  /** The negotiated feature bits. */
  readonly features: bigint;
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
  #enabled = false;
  #started = false;
  #broken = false;
  #kick: number | undefined;
  #call: number | undefined;
  #err: number | undefined;
  #queue: Virtqueue | undefined;
  #handle: DeviceQueue | undefined;
  #scheduled = false;

  constructor(index: number, owner: VringOwner) {
    this.index = index;
    this.#owner = owner;
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
  }

  setEnabled(enabled: boolean): void {
    this.#enabled = enabled;
    if (enabled) this.resume();
    else this.suspend();
  }

  /** SET_VRING_KICK starts the ring; without a descriptor it is polled, which only happens at once. */
  setKick(fd: number | undefined): void {
    this.#dropKick();
    this.#kick = fd;
    this.#started = true;
    if (fd !== undefined) {
      setNonBlocking(fd);
      this.#owner.loop.watch(fd, () => {
        this.#kicked(fd);
      });
    }
    // A running ring may have been kicked between the two descriptors.
    if (this.#queue !== undefined) this.#schedule();
    this.resume();
  }

  setCall(fd: number | undefined): void {
    if (this.#call !== undefined) closeDescriptor(this.#call);
    this.#call = fd;
    if (fd === undefined) return;
    setNonBlocking(fd);
    // What was published before the descriptor came may have called nobody.
    if (this.#queue !== undefined) signal(fd);
  }

  setErr(fd: number | undefined): void {
    if (this.#err !== undefined) closeDescriptor(this.#err);
    this.#err = fd;
    if (fd !== undefined) setNonBlocking(fd);
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
    this.#dropKick();
    this.setCall(undefined);
    this.#started = false;
    this.#broken = false;
    return this.#nextAvailable;
  }

  /** Back to how a new connection finds it, but for the size, which the front-end need not repeat. */
  reset(): void {
    this.stop();
    this.#enabled = false;
    this.#nextAvailable = 0;
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
    if (this.#queue !== undefined || !this.#started || !this.#enabled || this.#broken) return;
    if (this.#address === undefined) return;
    if (this.#owner.memory.regions.length === 0) {
      this.#owner.log({
        level: "warn",
        code: "NO_MEMORY",
        message: `queue ${this.index} was started, but no guest memory is shared: the VMM's memory needs share=on`,
      });
      return;
    }
    const { features } = this.#owner;
    this.#queue = new Virtqueue(this.#owner.memory, {
      size: this.#size,
      descriptors: userAddress(this.#address.descriptor),
      available: userAddress(this.#address.available),
      used: userAddress(this.#address.used),
      indirect: (features & bit(Feature.RING_INDIRECT_DESC)) !== 0n,
      eventIndex: (features & bit(Feature.RING_EVENT_IDX)) !== 0n,
      nextAvailable: this.#nextAvailable,
    });
    this.#handle = this.#deviceQueue(this.#queue);
    // Kicks may have been lost with a former back-end or before the ring was enabled.
    this.#schedule();
  }

  /** A dead queue's memory may be unmapped: touching it would end the process. */
  #deviceQueue(queue: Virtqueue): DeviceQueue {
    const isLive = () => this.#queue === queue;
    return {
      index: this.index,
      get live() {
        return isLive();
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
    if (queue.publish() && this.#call !== undefined) signal(this.#call);
  }

  #kicked(fd: number): void {
    if (!drain(fd)) this.#owner.loop.unwatch(fd);
    this.#process();
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
      if (this.#err !== undefined) signal(this.#err);
    }
  }

  #dropKick(): void {
    if (this.#kick === undefined) return;
    this.#owner.loop.unwatch(this.#kick);
    closeDescriptor(this.#kick);
    this.#kick = undefined;
  }
}
