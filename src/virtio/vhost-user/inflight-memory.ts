import { ftruncateSync } from "node:fs";
import { cannotShrink, closeDescriptor, createMemfd, Mapping, sealLength } from "../../os/index.js";
import { InflightRegion, inflightBytes, MAX_QUEUE_SIZE } from "../virtqueue/index.js";
import { type InflightDescription, ProtocolError } from "./protocol.js";
import type { InflightState } from "./session-state.js";

/** Of all queues together; ours take some KiB each. */
const MAX_BYTES = 16n << 20n;

function check({ queues, queueSize }: InflightDescription, most: number): void {
  if (queues < 1 || queues > most || queueSize < 1 || queueSize > MAX_QUEUE_SIZE) {
    throw new ProtocolError("BAD_VALUE", `${queues} inflight queues of ${queueSize} descriptors`);
  }
}

/** GET_INFLIGHT_FD: a new file for so many queues, zeroed. The descriptor is the caller's to close. */
export function createInflight(
  asked: InflightDescription,
  queueCount: number,
): { readonly fd: number; readonly description: InflightDescription } {
  check(asked, queueCount);
  const size = BigInt(asked.queues * inflightBytes(asked.queueSize));
  const fd = createMemfd("inflight");
  ftruncateSync(fd, Number(size));
  sealLength(fd);
  return { fd, description: { ...asked, size, mmapOffset: 0n } };
}

/** SET_INFLIGHT_FD: the memory in which the front-end keeps what is in flight. */
export class InflightMemory {
  readonly state: InflightState;
  /** Nobody can shorten it any more. */
  readonly sealed: boolean;
  readonly #mapping: Mapping;
  readonly #bytes: ArrayBuffer;

  /** Closes `fd`. Throws ProtocolError or the system call's error. */
  constructor(state: InflightState, fd: number, queueCount: number) {
    try {
      check(state, queueCount);
      if (state.size > MAX_BYTES || state.mmapOffset > MAX_BYTES) {
        throw new ProtocolError("BAD_VALUE", `inflight memory of ${state.size} bytes`);
      }
      this.state = state;
      this.#mapping = new Mapping(fd, state.mmapOffset, state.size);
      this.sealed = cannotShrink(fd);
      // No more than is used: V8 counts all of it as memory to collect.
      const used = state.queues * inflightBytes(state.queueSize);
      this.#bytes = this.#mapping.view(0n, Math.min(used, Number(state.size)));
    } finally {
      closeDescriptor(fd);
    }
  }

  /** A queue's part; undefined where it has none. Throws VirtqueueError where it doesn't fit. */
  region(index: number, queueSize: number): InflightRegion | undefined {
    const { queues } = this.state;
    if (index >= queues) return undefined;
    return new InflightRegion(this.#bytes, index * inflightBytes(this.state.queueSize), queueSize);
  }

  /** No ring uses it any more. */
  unmap(): void {
    this.#mapping.unmap();
  }
}
