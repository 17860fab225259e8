import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EventLoop } from "../src/os/index.js";
import { FakeFrontEnd } from "../test/support/fake-front-end.js";
import { GuestRam } from "../test/support/guest-ram.js";
import {
  type PreparedRequest,
  type PstoreDriver,
  startPstoreDriver,
} from "../test/support/pstore-driver.js";
import { checkout } from "../vm/paths.js";

/** `virtio-pstore serve` in a process of its own. Its log goes to a file, as it would at an operator's. */
export class Server {
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #ended: Promise<unknown>;

  /** `before`: a command that runs it, such as `taskset -c 1`. */
  constructor(log: string, args: readonly string[], before: readonly string[] = []) {
    const fd = openSync(log, "w");
    this.#log = log;
    const program = join(checkout, "bin", "virtio-pstore");
    const [command = program, ...rest] = [...before, program, "serve", ...args];
    this.#child = spawn(command, rest, { stdio: ["ignore", "ignore", fd] });
    closeSync(fd);
    this.#ended = new Promise((resolve) => this.#child.on("exit", resolve));
  }

  async ready(): Promise<void> {
    while (!readFileSync(this.#log, "utf8").includes("is served")) {
      if (this.#child.exitCode !== null) throw new Error(readFileSync(this.#log, "utf8"));
      await sleep(5);
    }
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#ended;
  }
}

/**
 * A guest's driver. It sleeps until it is called: on a machine of two cores, one that polled would take a
 * core away from the disk.
 */
export class BenchGuest {
  readonly driver: PstoreDriver;
  readonly #frontEnd: FakeFrontEnd;
  readonly #ram: GuestRam;
  readonly #loop: EventLoop;

  private constructor(
    loop: EventLoop,
    frontEnd: FakeFrontEnd,
    ram: GuestRam,
    driver: PstoreDriver,
  ) {
    this.#loop = loop;
    this.#frontEnd = frontEnd;
    this.#ram = ram;
    this.driver = driver;
    const { callNotifier } = driver.writeQueue;
    loop.watch(callNotifier.passed, () => {
      callNotifier.count();
    });
  }

  /** `loop` wakes for every guest that shares it. */
  static async connect(path: string, loop: EventLoop): Promise<BenchGuest> {
    const frontEnd = FakeFrontEnd.connect(path);
    const ram = new GuestRam([{ guestAddress: 0n, size: 128n << 20n }]);
    const driver = await startPstoreDriver(frontEnd, ram, { queue: { size: 256 } });
    return new BenchGuest(loop, frontEnd, ram, driver);
  }

  /** So many WRITEs in guest memory. */
  prepare(type: number, data: Uint8Array, count: number): PreparedRequest[] {
    return Array.from({ length: count }, () => this.driver.prepareWrite({ type }, data));
  }

  discard(requests: readonly PreparedRequest[]): void {
    for (const request of requests) this.driver.discard(this.driver.writeQueue, request);
  }

  /** Offers all of them at once and waits until all are answered: milliseconds. */
  burst(requests: readonly PreparedRequest[]): number {
    const queue = this.driver.writeQueue;
    const start = performance.now();
    for (const { head } of requests) queue.stage(head);
    if (queue.announce()) queue.kick();
    for (let left = requests.length; left > 0; ) {
      if (queue.collect() >= 0) left--;
      else this.#loop.turn(100);
    }
    const took = performance.now() - start;
    for (const { writable } of requests) {
      const ret = writable.readInt32LE(4);
      if (ret !== 0) throw new Error(`WRITE was answered with ${ret}`);
    }
    return took;
  }

  close(): void {
    this.#loop.unwatch(this.driver.writeQueue.callNotifier.passed);
    this.#frontEnd.close();
    this.driver.readQueue.close();
    this.driver.writeQueue.close();
    this.#ram.close();
  }
}
