import { PstoreDevice, REQUEST_BYTES, RESPONSE_BYTES } from "../../../src/device/index.js";
import { RECORD_TYPES } from "../../../src/records/index.js";
import type { DeviceQueue } from "../../../src/virtio/vhost-user/index.js";
import { userAddress, Virtqueue } from "../../../src/virtio/virtqueue/index.js";
import { NEXT, WRITE, writeDescriptor } from "../../support/fake-driver.js";
import { patientLoop } from "../../support/in-process.js";
import { encodeRequest } from "../../support/pstore-wire.js";
import { serveGoodGuest } from "../good-guest.js";
import { HostileStore } from "../hostile-store.js";
import { AVAILABLE, BUFFERS, HostileMemory, TABLE, USED } from "../memory.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

const QUEUE_SIZE = 128;

/** What an input's first byte says. */
const EXTENDED = 1;

const MAX_REQUESTS = 4;

/** Each request's buffers: the device-readable ones here, the writable ones HALF_BYTES behind. */
const REQUEST_STEP = 0x2800;
const HALF_BYTES = 0x1400;

/** What a request's framing says beside the number of descriptors for each side. */
const OVERLAPPING = 0x10;
const REPEATED = 0x20;

/** EHWPOISON, the highest of Linux's errno. */
const MAX_ERRNO = 133;

/** A request as it was laid out. */
interface Offered {
  readonly at: number;
  readonly readable: number;
  readonly writable: number;
  readonly overlapping: boolean;
  /** How much of its device-readable side was looked at. */
  seen: number;
}

/**
 * Requests to the device as a driver makes them and as none does, in guest memory that changes whenever
 * the device looks at it.
 */
export class Requests implements FuzzTarget {
  readonly #memory = new HostileMemory();
  readonly #store = new HostileStore();
  readonly #table: Buffer;

  constructor() {
    this.#table = this.#memory.bytes.subarray(TABLE, TABLE + 16 * QUEUE_SIZE);
  }

  generate(random: Random): Buffer {
    const count = 1 + random.below(MAX_REQUESTS);
    const parts: Buffer[] = [Buffer.from([random.below(2), count])];
    for (let i = 0; i < count; i++) {
      const request = encodeRequest({
        cmd: random.oneIn(16) ? random.u32() & 0xffff : random.pick([1, 2, 3, 3, 3, 4, 5]),
        type: random.oneIn(16) ? random.u32() & 0xffff : random.below(6),
        flags: random.oneIn(4) ? random.interesting32() : 0,
        id: random.oneIn(4) ? random.interesting64() : BigInt(random.below(20)),
      });
      const layout = Buffer.alloc(5);
      layout.writeUInt16LE(
        random.oneIn(8) ? random.interesting32() & 0xffff : random.below(2000),
        0,
      );
      const room = random.pick([8, 8, 48, 2048]) - (random.oneIn(8) ? random.below(8) : 0);
      layout.writeUInt16LE(random.oneIn(8) ? random.interesting32() & 0xffff : room, 2);
      layout[4] = random.oneIn(4) ? random.u32() : random.below(16);
      parts.push(layout, request);
    }
    if (random.oneIn(2)) {
      for (let changes = random.below(12); changes > 0; changes--) {
        const at = BUFFERS + random.below(count) * REQUEST_STEP + random.below(32);
        parts.push(Buffer.from([at & 0xff, at >> 8, random.interesting32()]));
      }
    }
    return Buffer.concat(parts);
  }

  run(input: Buffer): string {
    const { bytes, memory } = this.#memory;
    this.#memory.reset();
    const reader = new InputReader(input);
    const flags = reader.u8();
    const offered: Offered[] = [];
    let descriptor = 0;
    for (let count = 1 + (reader.u8() % MAX_REQUESTS); count > 0; count--) {
      bytes.writeUInt16LE(descriptor, AVAILABLE + 4 + 2 * offered.length);
      descriptor = this.#layOut(reader, descriptor, offered);
    }
    bytes.writeUInt16LE(offered.length, AVAILABLE + 2);
    const changes = reader.left > 0;
    this.#memory.onAccess = (at, length) => {
      if (reader.left > 0) bytes[BUFFERS + (reader.u16() % (bytes.length - BUFFERS))] = reader.u8();
      for (const one of offered) {
        const from = Math.max(at, one.at);
        one.seen += Math.max(0, Math.min(at + length, one.at + one.readable) - from);
      }
    };
    const outcomes = new Set<string>([(flags & EXTENDED) === 0 ? "v2" : "extended"]);
    const device = new PstoreDevice({
      store: this.#store.get(),
      bufsize: 4096,
      maxData: 4096,
      types: RECORD_TYPES,
      log: ({ code }) => outcomes.add(code),
    });
    try {
      if ((flags & EXTENDED) !== 0) device.negotiated(device.features);
      const queue = new Virtqueue(memory, {
        size: QUEUE_SIZE,
        descriptors: userAddress(this.#memory.userAddress(TABLE)),
        available: userAddress(this.#memory.userAddress(AVAILABLE)),
        used: userAddress(this.#memory.userAddress(USED)),
        indirect: false,
        eventIndex: false,
        nextAvailable: 0,
      });
      process(device, queue);
      expect(queue.inFlight === 0, "every chain is given back");
    } finally {
      this.#memory.onAccess = () => undefined;
      device.close();
    }
    this.#checkAnswers(offered, changes, outcomes);
    return [...outcomes].sort().join(" ");
  }

  async check(): Promise<void> {
    const loop = patientLoop();
    await serveGoodGuest(loop);
    loop.close();
  }

  close(): void {
    this.#store.close();
    this.#memory.close();
  }

  /** Writes the next request's chain into the table from `descriptor` on; returns the next free one. */
  #layOut(reader: InputReader, descriptor: number, offered: Offered[]): number {
    const dataBytes = reader.u16();
    const writable = reader.u16();
    const framing = reader.u8();
    const at = BUFFERS + offered.length * REQUEST_STEP;
    this.#memory.bytes.set(reader.bytes(REQUEST_BYTES), at);
    const overlapping = (framing & OVERLAPPING) !== 0;
    const to = overlapping ? at : at + HALF_BYTES;
    const readable = REQUEST_BYTES + dataBytes;
    const parts = [
      ...cut(at, readable, 1 + (framing & 3), false),
      ...((framing & REPEATED) === 0 ? [] : cut(at, 8 * HALF_BYTES, 8, false)),
      ...cut(to, writable, 1 + ((framing >> 2) & 3), true),
    ];
    parts.forEach((part, i) => {
      const next = descriptor + i + 1;
      const flags = (part.writable ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0);
      writeDescriptor(this.#table, descriptor + i, { ...part, flags, next });
    });
    const unclear = overlapping || (framing & REPEATED) !== 0 || readable > HALF_BYTES;
    offered.push({ at, readable, writable, overlapping: unclear, seen: 0 });
    return descriptor + parts.length;
  }

  #checkAnswers(offered: readonly Offered[], changes: boolean, outcomes: Set<string>): void {
    const { bytes } = this.#memory;
    // A buffer that lies over another request's isn't anybody's fault.
    const apart = offered.every(
      ({ overlapping, writable }) => !overlapping && writable <= HALF_BYTES,
    );
    expect(bytes.readUInt16LE(USED + 2) === offered.length, "each request is answered once");
    offered.forEach(({ at, readable, writable, seen }, i) => {
      const length = bytes.readUInt32LE(USED + 8 + 8 * i);
      expect(
        length <= writable && (length === 0 || length >= RESPONSE_BYTES),
        "an answer is whole",
      );
      if (!apart) return;
      expect(seen <= readable, "nothing of a request is read twice");
      if (length === 0) return;
      const response = bytes.subarray(at + HALF_BYTES);
      const ret = response.readInt32LE(4);
      outcomes.add(`${ret}`);
      if (changes) return;
      expect(ret <= 0 && ret >= -MAX_ERRNO, `an answer is 0 or an errno, not ${ret}`);
      const isWhole = readable >= REQUEST_BYTES;
      expect(
        !isWhole || response.readUInt32LE(0) === bytes.readUInt32LE(at),
        "an answer repeats its request's command and type",
      );
    });
  }
}

/** Has the device work until it is done. */
function process(device: PstoreDevice, queue: Virtqueue): void {
  let scheduled = true;
  const handle: DeviceQueue = {
    index: 0,
    isTurnOver: false,
    get position() {
      return queue.nextAvailable;
    },
    live: true,
    pop: () => queue.pop(),
    push: (head, usedLength) => {
      queue.push(head, usedLength);
    },
    publish: () => {
      queue.publish();
    },
    schedule: () => {
      scheduled = true;
    },
  };
  for (let turns = 0; scheduled; turns++) {
    expect(turns < 16, "the device comes to an end");
    scheduled = false;
    device.process(handle);
  }
}

function cut(at: number, length: number, pieces: number, writable: boolean) {
  return Array.from({ length: pieces }, (_, i) => {
    const from = Math.floor((length * i) / pieces);
    const to = Math.floor((length * (i + 1)) / pieces);
    return { address: BigInt(at + from), length: to - from, writable };
  });
}
