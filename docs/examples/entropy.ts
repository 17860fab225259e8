import { randomBytes } from "node:crypto";
import { type DeviceQueue, serveDevice, type VirtioDevice } from "virtio-pstore/vhost-user";

const MOST_BYTES = 4096;

/** The entropy device (virtio 1.3, 5.4): fills the driver's buffers with random bytes. */
class EntropyDevice implements VirtioDevice {
  readonly features = 0n;
  readonly queueCount = 1;
  readonly maxDescriptors = 64;

  process(queue: DeviceQueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      let written = 0;
      if (chain.kind === "chain") {
        const length = Math.min(chain.writable.length, MOST_BYTES);
        written = chain.writable.write(randomBytes(length));
      }
      queue.push(chain.head, written);
      if (!queue.isTurnOver) continue;
      queue.schedule();
      break;
    }
    queue.publish();
  }

  // It has no features, no configuration space and no state.
  negotiated(): void {}
  readConfig = (): Uint8Array => new Uint8Array();
  writeConfig(): void {}
  reset(): void {}
  close(): void {}
}

const [socketPath = ""] = process.argv.slice(2);
await serveDevice({ socketPath, createDevice: () => new EntropyDevice() });
