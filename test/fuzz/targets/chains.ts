import {
  DESCRIPTOR_BYTES,
  userAddress,
  Virtqueue,
  VirtqueueError,
} from "../../../src/virtio/virtqueue/index.js";
import { AVAILABLE, BUFFERS, HostileMemory, INDIRECT, TABLE, USED } from "../memory.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

/** An input: this head, then available entries, descriptors, an indirect table, and what changes later. */
const HEAD_BYTES = 8;
const MAX_QUEUE_BITS = 7;
const FLAG_INDIRECT = 8;
const FLAG_EVENT_INDEX = 16;
const FLAG_ELSEWHERE = 32;

/** Chains taken of one input. */
const MAX_CHAINS = 64;
const MAX_COPY_BYTES = 4096;

/**
 * Descriptor chains and rings: tables, heads and indexes of a driver that keeps no rule, and that
 * changes them between one chain and the next.
 */
export class Chains implements FuzzTarget {
  readonly #memory = new HostileMemory();

  generate(random: Random): Buffer {
    const bits = random.below(MAX_QUEUE_BITS + 1);
    const size = 1 << bits;
    const heads = random.below(Math.min(size, 16) + 1);
    const descriptors = random.below(Math.min(size, 24) + 1);
    const indirect = random.below(9);
    const start = random.oneIn(2) ? 0 : random.u32() & 0xffff;
    const head = Buffer.alloc(HEAD_BYTES + 2 * heads);
    head[0] = bits | (random.below(4) << 3) | (random.oneIn(64) ? FLAG_ELSEWHERE : 0);
    head[1] = heads;
    head[2] = descriptors;
    head[3] = indirect;
    head.writeUInt16LE(start, 4);
    head.writeUInt16LE((start + (random.oneIn(8) ? random.u32() : heads)) & 0xffff, 6);
    for (let i = 0; i < heads; i++) {
      head.writeUInt16LE(random.oneIn(16) ? random.u32() & 0xffff : random.below(size), 8 + 2 * i);
    }
    const parts: Buffer[] = [head];
    for (let i = 0; i < descriptors; i++) parts.push(descriptor(random, size));
    for (let i = 0; i < indirect; i++) parts.push(descriptor(random, indirect));
    parts.push(scribbles(random));
    return Buffer.concat(parts);
  }

  run(input: Buffer): string {
    const { bytes, memory } = this.#memory;
    this.#memory.reset();
    const reader = new InputReader(input);
    const flags = reader.u8();
    const size = 1 << (flags & MAX_QUEUE_BITS);
    const heads = reader.u8();
    const descriptors = reader.u8();
    const indirect = reader.u8();
    const start = reader.u16();
    const index = reader.u16();
    bytes.set(reader.bytes(2 * Math.min(heads, size)), AVAILABLE + 4);
    bytes.set(reader.bytes(DESCRIPTOR_BYTES * Math.min(descriptors, size)), TABLE);
    bytes.set(reader.bytes(DESCRIPTOR_BYTES * Math.min(indirect, size)), INDIRECT);
    bytes.writeUInt16LE(index, AVAILABLE + 2);
    bytes.writeUInt16LE(start, USED + 2);
    const scribble = () => {
      if (reader.left > 0) bytes[reader.u16() % BUFFERS] = reader.u8();
    };
    const where = (at: number): bigint =>
      (flags & FLAG_ELSEWHERE) === 0 ? this.#memory.userAddress(at) : BigInt(reader.u32()) << 20n;
    const outcomes = new Set<string>();
    try {
      const queue = new Virtqueue(memory, {
        size,
        descriptors: userAddress(where(TABLE)),
        available: userAddress(where(AVAILABLE)),
        used: userAddress(where(USED)),
        indirect: (flags & FLAG_INDIRECT) !== 0,
        eventIndex: (flags & FLAG_EVENT_INDEX) !== 0,
        nextAvailable: start,
      });
      this.#memory.onAccess = scribble;
      for (let count = 0; count < MAX_CHAINS && this.#take(queue, size, outcomes); count++)
        scribble();
    } catch (error) {
      if (!(error instanceof VirtqueueError)) throw error;
      outcomes.add(error.code);
    } finally {
      this.#memory.onAccess = () => undefined;
    }
    return [...outcomes].sort().join(" ");
  }

  /** Takes one chain as a device does; false where there is none. */
  #take(queue: Virtqueue, size: number, outcomes: Set<string>): boolean {
    const chain = queue.pop();
    if (chain === undefined) return false;
    let used = 0;
    if (chain.kind === "malformed") {
      outcomes.add(chain.error.code);
    } else {
      const { readable, writable } = chain;
      const pieces = readable.bytes();
      expect(
        pieces.length <= 2 * size,
        "virtio 2.7.5.3.1: a chain is at most as long as its queue",
      );
      expect(
        pieces.reduce((sum, { length }) => sum + length, 0) === readable.length,
        "the pieces of a chain have its length",
      );
      const copy = readable.copy(0, MAX_COPY_BYTES);
      expect(copy.length === Math.min(readable.length, MAX_COPY_BYTES), "a copy has its length");
      used = writable.write(copy);
      expect(used === Math.min(copy.length, writable.length), "what has room is written");
      outcomes.add(`chain${readable.length > 0 ? "-r" : ""}${writable.length > 0 ? "-w" : ""}`);
    }
    expect(chain.head < size, "a head lies in its queue");
    expect(queue.inFlight === 1, "one chain is in flight");
    queue.push(chain.head, used);
    queue.publish();
    expect(queue.inFlight === 0, "nothing is in flight");
    return true;
  }

  /** A driver that keeps the rules, in the same memory. */
  async check(): Promise<void> {
    const request = Buffer.alloc(HEAD_BYTES);
    request[1] = 1;
    request[2] = 2;
    request[0] = 1;
    request.writeUInt16LE(1, 6);
    const text = Buffer.from("a good chain");
    const from = Buffer.alloc(DESCRIPTOR_BYTES);
    from.writeUInt32LE(BUFFERS, 0);
    from.writeUInt32LE(text.length, 8);
    from.writeUInt16LE(1, 12);
    from.writeUInt16LE(1, 14);
    const to = Buffer.alloc(DESCRIPTOR_BYTES);
    to.writeUInt32LE(BUFFERS + 0x100, 0);
    to.writeUInt32LE(64, 8);
    to.writeUInt16LE(2, 12);
    this.#memory.bytes.set(text, BUFFERS);
    const outcome = this.run(Buffer.concat([request, Buffer.alloc(2), from, to]));
    const { bytes } = this.#memory;
    expect(outcome === "chain-r-w", `a good chain is served, not: ${outcome}`);
    expect(bytes.subarray(BUFFERS + 0x100).indexOf(text) === 0, "a good chain is answered");
    expect(bytes.readUInt16LE(USED + 2) === 1, "a good chain is given back");
    expect(bytes.readUInt32LE(USED + 8) === text.length, "with its length");
  }

  close(): void {
    this.#memory.close();
  }
}

/** A descriptor that leads to memory, mostly. */
function descriptor(random: Random, tableLength: number): Buffer {
  const raw = Buffer.alloc(DESCRIPTOR_BYTES);
  const flags = random.oneIn(8) ? random.u32() & 0xffff : random.pick([0, 1, 1, 1, 2, 3, 3, 4]);
  const isTable = (flags & 4) !== 0;
  const address = random.oneIn(8)
    ? random.interesting64()
    : BigInt(isTable ? INDIRECT : random.pick([BUFFERS, 0x7f80, 0xbf80, 0x20000, USED]));
  raw.writeBigUInt64LE(address, 0);
  const length = isTable ? DESCRIPTOR_BYTES * random.below(10) : random.below(256);
  raw.writeUInt32LE(random.oneIn(8) ? random.interesting32() : length, 8);
  raw.writeUInt16LE(flags, 12);
  raw.writeUInt16LE(random.oneIn(16) ? random.u32() & 0xffff : random.below(tableLength + 1), 14);
  return raw;
}

/** Bytes that change while the device works: a place of two bytes, and what it becomes. */
function scribbles(random: Random): Buffer {
  if (random.oneIn(2)) return Buffer.alloc(0);
  return Buffer.concat(
    Array.from({ length: random.below(16) }, () => {
      const place = random.pick([TABLE, TABLE, AVAILABLE, USED, INDIRECT]) + random.below(128);
      return Buffer.from([place & 0xff, place >> 8, random.interesting32()]);
    }),
  );
}
