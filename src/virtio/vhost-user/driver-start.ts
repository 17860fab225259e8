import type { Share } from "../../os/index.js";

/** Where its driver makes no request: how long after the start of a ring the next one may still follow. */
const SETTLE_MS = 1000;

/** What finding a driver's start needs of its session. */
export interface DriverStartOwner {
  readonly loop: Share;
  /** The front-end has sent messages that aren't handled yet. */
  messagesWait(): boolean;
  /** The driver has started, with these queues. More may follow it. */
  started(queues: readonly number[]): void;
}

/**
 * Finds out when a driver has started, and with which queues. Front-ends say so ring by ring, and most of
 * them, QEMU's generic device included, never say that it was the last one.
 */
export class DriverStart {
  readonly #owner: DriverStartOwner;
  #queues: readonly number[] = [];
  #changedAt = 0;
  #untold = false;
  #waits = false;

  constructor(owner: DriverStartOwner) {
    this.#owner = owner;
  }

  /** The rings of these queues run, after another message. */
  running(queues: readonly number[]): void {
    const [more, fewer] = [without(queues, this.#queues), without(this.#queues, queues)];
    // It ends soon after its start, or its machine is paused.
    if (fewer.length > 0) this.tell();
    this.#queues = queues;
    if (more.length === 0) return;
    this.#untold = true;
    this.#changedAt = performance.now();
    if (!this.#waits) this.#wait(SETTLE_MS);
  }

  /** The driver was answered a request, and so had started all its rings before. */
  answered(): void {
    if (this.#untold && !this.#owner.messagesWait()) this.tell();
  }

  /** Tells what is known by now, unless it was told. */
  tell(): void {
    if (!this.#untold) return;
    this.#untold = false;
    this.#owner.started(this.#queues);
  }

  #wait(delayMs: number): void {
    this.#waits = true;
    this.#owner.loop.after(delayMs, () => {
      this.#waits = false;
      const leftMs = this.#changedAt + SETTLE_MS - performance.now();
      if (this.#untold && leftMs > 0) this.#wait(leftMs);
      else this.tell();
    });
  }
}

const without = (queues: readonly number[], others: readonly number[]): number[] =>
  queues.filter((queue) => !others.includes(queue));
