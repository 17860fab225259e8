import type { DeviceQueue, VirtioDevice } from "../../src/virtio/vhost-user/index.js";
import type { DescriptorChain, VirtqueueError } from "../../src/virtio/virtqueue/index.js";

export interface EchoOptions {
  readonly queueCount?: number;
  readonly features?: bigint;
  readonly config?: Uint8Array;
  /** As many as the largest queue has where not given. */
  readonly maxDescriptors?: number;
}

/** A device that answers each request with its own bytes: at once, or when complete() is called. */
export class EchoDevice implements VirtioDevice {
  readonly features: bigint;
  readonly queueCount: number;
  readonly maxDescriptors: number;
  readonly config: Uint8Array;
  readonly configWrites: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  /** Requests as they arrived, where `keep` is set. */
  readonly requests: Buffer[] = [];
  readonly malformed: VirtqueueError[] = [];
  /** Chains are kept until complete(). */
  holds = false;
  keep = false;
  calls = 0;
  served = 0;
  dropped = 0;
  resets = 0;
  chosenFeatures: bigint | undefined;
  closed = false;
  /** Thrown by the next process(). */
  failure: Error | undefined;
  readonly #held: { readonly queue: DeviceQueue; readonly chain: DescriptorChain }[] = [];

  constructor(options: EchoOptions = {}) {
    this.features = options.features ?? 0n;
    this.queueCount = options.queueCount ?? 2;
    this.maxDescriptors = options.maxDescriptors ?? 32768;
    this.config = options.config ?? Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  }

  get held(): number {
    return this.#held.length;
  }

  negotiated(features: bigint): void {
    this.chosenFeatures = features;
  }

  readConfig(): Uint8Array {
    return this.config;
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    this.configWrites.push({ offset, bytes });
  }

  process(queue: DeviceQueue): void {
    this.calls++;
    if (this.failure !== undefined) throw this.failure;
    do {
      const chain = queue.pop();
      if (chain === undefined) {
        queue.publish();
        return;
      }
      if (chain.kind === "malformed") {
        this.malformed.push(chain.error);
        queue.push(chain.head, 0);
      } else if (this.holds) {
        this.#held.push({ queue, chain });
      } else {
        this.#echo(queue, chain);
      }
    } while (!queue.isTurnOver);
    queue.publish();
    queue.schedule();
  }

  /** Answers what is held, the newest first: a device may give chains back in any order. */
  complete(count = this.#held.length): void {
    for (let i = 0; i < count; i++) {
      const held = this.#held.pop();
      if (held === undefined) return;
      if (!held.queue.live) {
        this.dropped++;
        continue;
      }
      this.#echo(held.queue, held.chain);
      held.queue.publish();
    }
  }

  /** As a device that forgets to ask whether a queue still lives. */
  completeBlindly(): void {
    for (const { queue, chain } of this.#held.splice(0)) {
      queue.push(chain.head, 0);
      queue.publish();
    }
  }

  /** As a device that publishes what it pushed later, in one go. */
  pushWithoutPublish(): void {
    for (const { queue, chain } of this.#held.splice(0)) queue.push(chain.head, 0);
  }

  reset(): void {
    this.resets++;
  }

  close(): void {
    this.closed = true;
  }

  #echo(queue: DeviceQueue, chain: DescriptorChain): void {
    const bytes = chain.readable.copy(0, chain.readable.length);
    if (this.keep) this.requests.push(bytes);
    this.served++;
    queue.push(chain.head, chain.writable.write(bytes));
  }
}
