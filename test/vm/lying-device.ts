import { join } from "node:path";
import { onTestFinished } from "vitest";
import { PstoreDevice } from "../../src/device/index.js";
import {
  Command,
  decodeRequest,
  encodeFileInfo,
  encodeResponse,
  REQUEST_BYTES,
} from "../../src/device/wire.js";
import { EventLoop, type Share } from "../../src/os/index.js";
import { DirectoryStore } from "../../src/store/index.js";
import {
  type DeviceQueue,
  listenAt,
  Server,
  type VirtioDevice,
} from "../../src/virtio/vhost-user/index.js";
import type { DescriptorChain } from "../../src/virtio/virtqueue/index.js";
import { temporaryFolder } from "./support.js";

/** How a device lies: its walk never comes to an end. */
export interface Lie {
  /** How long OPEN, READ and CLOSE each take to be answered, in milliseconds. */
  readonly delayMs: number;
  /** The type of the record that READ returns, and how many bytes it has. */
  readonly type: number;
  readonly bytes: number;
}

/** A device that stores what is written to it, but lies to who reads. */
class LyingDevice implements VirtioDevice {
  readonly features: bigint;
  readonly queueCount: number;
  readonly maxDescriptors: number;
  readonly #honest: PstoreDevice;
  readonly #lie: Lie;
  readonly #loop: Share;
  #records = 0n;

  constructor(honest: PstoreDevice, lie: Lie, loop: Share) {
    this.features = honest.features;
    this.queueCount = honest.queueCount;
    this.maxDescriptors = honest.maxDescriptors;
    this.#honest = honest;
    this.#lie = lie;
    this.#loop = loop;
  }

  negotiated(features: bigint): void {
    this.#honest.negotiated(features);
  }

  readConfig(): Uint8Array {
    return this.#honest.readConfig();
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    this.#honest.writeConfig(offset, bytes);
  }

  reset(): void {
    this.#honest.reset();
  }

  close(): void {
    this.#honest.close();
  }

  process(queue: DeviceQueue): void {
    this.#honest.process({
      index: queue.index,
      get position() {
        return queue.position;
      },
      get live() {
        return queue.live;
      },
      get isTurnOver() {
        return queue.isTurnOver;
      },
      pop: () => {
        for (;;) {
          const chain = queue.pop();
          if (chain?.kind !== "chain" || !this.#takes(queue, chain)) return chain;
        }
      },
      push: (head, length) => {
        queue.push(head, length);
      },
      publish: () => {
        queue.publish();
      },
      schedule: () => {
        queue.schedule();
      },
    });
  }

  #takes(queue: DeviceQueue, chain: DescriptorChain): boolean {
    const { cmd } = decodeRequest(chain.readable.copy(0, REQUEST_BYTES));
    if (cmd !== Command.OPEN && cmd !== Command.READ && cmd !== Command.CLOSE) return false;
    const answer = Buffer.concat([
      encodeResponse(cmd, 0, 0),
      ...(cmd === Command.READ ? this.#record() : []),
    ]);
    this.#loop.after(this.#lie.delayMs, () => {
      if (!queue.live) return;
      queue.push(chain.head, chain.writable.write(answer));
      queue.publish();
    });
    return true;
  }

  #record(): Buffer[] {
    const { type, bytes } = this.#lie;
    const info = { id: ++this.#records, type, flags: 0, len: bytes, timeNs: 0n };
    return [encodeFileInfo(info), Buffer.alloc(bytes, "a record without end\n")];
  }
}

/** Serves such a device in this process until the test is over. */
export function serveLies(lie: Lie): { readonly socket: string; readonly directory: string } {
  const folder = temporaryFolder();
  const socket = join(folder, "socket");
  const directory = temporaryFolder();
  const loop = new EventLoop();
  const share = loop.share();
  const store = new DirectoryStore(directory);
  const server = new Server({
    loop: share,
    fd: listenAt(socket),
    createDevice: () =>
      new LyingDevice(
        new PstoreDevice({ store, bufsize: 16384, maxData: 1 << 20, types: ["dmesg"] }),
        lie,
        share,
      ),
  });
  let serving = true;
  // It waits no longer than the process's own loop can do without.
  const turn = (): void => {
    if (!serving) return;
    loop.turn(2);
    setImmediate(turn);
  };
  turn();
  onTestFinished(() => {
    serving = false;
    server.close();
    store.close();
    loop.close();
  });
  return { socket, directory };
}
