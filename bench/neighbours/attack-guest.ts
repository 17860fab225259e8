import { setTimeout as sleep } from "node:timers/promises";
import { connectUnix, EventLoop } from "../../src/os/index.js";
import type { DriverQueue, DriverQueueOptions, Part } from "../../test/support/fake-driver.js";
import { FakeFrontEnd } from "../../test/support/fake-front-end.js";
import { GuestRam, type RamSpec } from "../../test/support/guest-ram.js";
import { type PstoreDriver, startPstoreDriver } from "../../test/support/pstore-driver.js";
import {
  encodeRequest,
  F_EXTENDED,
  F_PANIC_VQ,
  type PstoreRequest,
} from "../../test/support/pstore-wire.js";
import { F_VERSION_1, VU } from "../../test/support/vhost-user-wire.js";

const RAM: readonly RamSpec[] = [{ guestAddress: 0n, size: 64n << 20n }];
const CALL_MS = 20;

export interface AttackGuestOptions {
  readonly ram?: readonly RamSpec[];
  readonly queue?: DriverQueueOptions;
}

/** A guest that means ill: a front-end and a driver on three queues. */
export class AttackGuest {
  readonly frontEnd: FakeFrontEnd;
  readonly ram: GuestRam;
  readonly driver: PstoreDriver;
  readonly #loop = new EventLoop();

  private constructor(frontEnd: FakeFrontEnd, ram: GuestRam, driver: PstoreDriver) {
    this.frontEnd = frontEnd;
    this.ram = ram;
    this.driver = driver;
    for (const { callNotifier } of driver.queues) {
      this.#loop.watch(callNotifier.passed, () => {
        callNotifier.count();
      });
    }
  }

  static async connect(socket: string, options: AttackGuestOptions = {}): Promise<AttackGuest> {
    const frontEnd = new FakeFrontEnd(connectUnix(socket), () => sleep(0));
    const ram = new GuestRam(options.ram ?? RAM);
    const driver = await startPstoreDriver(frontEnd, ram, {
      features: F_VERSION_1 | F_EXTENDED | F_PANIC_VQ,
      panicQueue: true,
      queue: { size: 256, ...options.queue },
    });
    return new AttackGuest(frontEnd, ram, driver);
  }

  /** A request of its own on a queue: its head. */
  request(queue: DriverQueue, request: PstoreRequest, room = 8): number {
    return this.driver.prepare(queue, [encodeRequest(request)], [room]).head;
  }

  /** A chain of these parts on each queue, `times` of it available. */
  stageOnAll(parts: () => Part[], times: number): void {
    for (const queue of this.driver.queues) {
      const head = queue.place(parts());
      for (let i = 0; i < times; i++) queue.stage(head);
      queue.announce();
      queue.kick();
    }
  }

  /** Offers again whatever comes back, without end; sleeps until it is called. `onBack` is told of each chain. */
  async again(
    onBack: (queue: DriverQueue, head: number) => void = () => undefined,
  ): Promise<never> {
    for (;;) {
      let some = false;
      for (const queue of this.driver.queues) {
        let count = 0;
        for (let head = queue.collect(); head >= 0; head = queue.collect()) {
          queue.stage(head);
          onBack(queue, head);
          count++;
        }
        if (count === 0) continue;
        some = true;
        queue.announce();
        queue.kick();
      }
      if (!some) this.#loop.turn(CALL_MS);
      // The process is told to end by a signal.
      await sleep(0);
    }
  }

  /** Sends a message without waiting for anything; where the socket is full, a little later. */
  async push(
    request: number,
    payload?: Uint8Array,
    descriptors: readonly number[] = [],
  ): Promise<void> {
    for (;;) {
      try {
        this.frontEnd.send(request, payload, descriptors);
        return;
      } catch (error) {
        if (!(error instanceof Error) || !error.message.includes("is full")) throw error;
        await sleep(1);
      }
    }
  }

  /** Another kick descriptor for a queue. */
  async kickWith(queue: number, fd: number): Promise<void> {
    await this.frontEnd.setRingDescriptor(VU.SET_VRING_KICK, queue, fd);
  }

  close(): void {
    this.frontEnd.close();
    for (const queue of this.driver.queues) queue.close();
    this.ram.close();
    this.#loop.close();
  }
}
