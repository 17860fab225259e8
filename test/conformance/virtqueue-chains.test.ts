import { afterEach, describe, expect, test } from "vitest";
import {
  type DriverQueue,
  INDIRECT,
  NEXT,
  WRITE,
  writeDescriptor,
} from "../support/fake-driver.js";
import { closeAll, echo, type Running, startPair } from "../support/in-process.js";
import { F_VERSION_1 } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const SIZE = 8;

/** A queue of 8 with one readable and one writable buffer of 64 bytes each. */
async function smallQueue(features?: bigint): Promise<Running & Buffers> {
  const running = await startPair({
    queue: { size: SIZE },
    ...(features === undefined ? {} : { features }),
  });
  const readable = running.ram.allocate(64);
  const writable = running.ram.allocate(64);
  const table = running.ram.allocate(16 * 4 * SIZE);
  return { ...running, readable, writable, table };
}

interface Buffers {
  readonly readable: bigint;
  readonly writable: bigint;
  readonly table: bigint;
}

/** Makes the chain at `head` available as it stands in the table, and returns its used length. */
async function offerRaw({ frontEnd }: Running, queue: DriverQueue, head: number): Promise<number> {
  queue.offer(head);
  let collected = -1;
  await frontEnd.until(() => {
    collected = queue.collect();
    return collected >= 0;
  }, "the chain to come back");
  expect(collected).toBe(head);
  return queue.usedLength;
}

test("virtio 2.7.5.3.1: a device takes chains as long as it needs them, and no longer", async () => {
  const running = await startPair({ queue: { size: 64 }, maxDescriptors: 10 });
  const { device, queue, ram } = running;
  const from = ram.allocate(64);
  const chain = (length: number) =>
    queue.place(
      Array.from({ length }, (_, i) => ({
        address: from + BigInt(i),
        length: 1,
        writable: i === length - 1,
      })),
    );
  expect(await offerRaw(running, queue, chain(10))).toBe(1);
  expect(await offerRaw(running, queue, chain(11))).toBe(0);
  expect(device.malformed.map(({ code }) => code)).toEqual(["CHAIN_TOO_LONG"]);
});

const NOWHERE = 0x4000_0000_0000n;

/** Writes a malformed chain with head 3 and returns nothing: the code is what the device must see. */
type Malform = (running: Running & Buffers) => void;

const malformed: [rule: string, code: string, Malform][] = [
  [
    "2.7.5: a descriptor that names itself is a loop",
    "CHAIN_TOO_LONG",
    ({ queue, readable }) => {
      queue.writeDescriptor(3, { address: readable, length: 8, flags: NEXT, next: 3 });
    },
  ],
  [
    "2.7.5: a loop of two descriptors without a byte in them ends",
    "CHAIN_TOO_LONG",
    ({ queue, readable }) => {
      queue.writeDescriptor(3, { address: readable, length: 0, flags: NEXT, next: 4 });
      queue.writeDescriptor(4, { address: readable, length: 0, flags: NEXT, next: 3 });
    },
  ],
  [
    "2.7.5: next beyond the table is refused",
    "DESCRIPTOR_OUT_OF_RANGE",
    ({ queue, readable }) => {
      queue.writeDescriptor(3, { address: readable, length: 8, flags: NEXT, next: SIZE });
    },
  ],
  [
    "2.7.4.2: a readable descriptor after a writable one is refused",
    "READABLE_AFTER_WRITABLE",
    ({ queue, readable, writable }) => {
      queue.writeDescriptor(3, { address: writable, length: 8, flags: WRITE | NEXT, next: 4 });
      queue.writeDescriptor(4, { address: readable, length: 8, flags: 0, next: 0 });
    },
  ],
  [
    "2.7.5: a buffer outside of memory is refused",
    "BAD_ADDRESS",
    ({ queue }) => {
      queue.writeDescriptor(3, { address: NOWHERE, length: 1, flags: 0, next: 0 });
    },
  ],
  [
    "2.7.5: a buffer that begins in memory and ends behind it is refused",
    "BAD_ADDRESS",
    ({ queue, ram }) => {
      const { guestAddress, size } = ram.region(0);
      const address = guestAddress + size - 8n;
      queue.writeDescriptor(3, { address, length: 9, flags: WRITE, next: 0 });
    },
  ],
  [
    "2.7.5: a buffer that wraps around the address space is refused",
    "BAD_ADDRESS",
    ({ queue }) => {
      const address = (1n << 64n) - 8n;
      queue.writeDescriptor(3, { address, length: 16, flags: 0, next: 0 });
    },
  ],
  [
    "2.7.5.2: a chain of more than 2^32 bytes is refused",
    "CHAIN_TOO_LARGE",
    ({ queue, readable }) => {
      // 2^32 bytes and one, but never all in memory: the sum is looked at before the address is.
      queue.writeDescriptor(3, { address: readable, length: 64, flags: NEXT, next: 4 });
      queue.writeDescriptor(4, { address: readable, length: 0xffff_ffff, flags: 0, next: 0 });
    },
  ],
  [
    "2.7.5.3.1: an indirect table in an indirect table is refused",
    "INDIRECT_NESTED",
    ({ queue, ram, table }) => {
      const bytes = ram.bytes(table, 32);
      writeDescriptor(bytes, 0, { address: table, length: 32, flags: INDIRECT, next: 0 });
      queue.writeDescriptor(3, { address: table, length: 32, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3.1: INDIRECT together with NEXT is refused",
    "INDIRECT_WITH_NEXT",
    ({ queue, ram, table, readable }) => {
      const bytes = ram.bytes(table, 16);
      writeDescriptor(bytes, 0, { address: readable, length: 8, flags: 0, next: 0 });
      queue.writeDescriptor(3, { address: table, length: 16, flags: INDIRECT | NEXT, next: 4 });
      queue.writeDescriptor(4, { address: readable, length: 8, flags: 0, next: 0 });
    },
  ],
  [
    "2.7.5.3: an indirect table of no descriptors is refused",
    "INDIRECT_LENGTH",
    ({ queue, table }) => {
      queue.writeDescriptor(3, { address: table, length: 0, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3: an indirect table that is no whole number of descriptors is refused",
    "INDIRECT_LENGTH",
    ({ queue, table }) => {
      queue.writeDescriptor(3, { address: table, length: 24, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3.1: an indirect table longer than the queue is refused",
    "INDIRECT_LENGTH",
    ({ queue, table }) => {
      const length = 16 * (SIZE + 1);
      queue.writeDescriptor(3, { address: table, length, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3: an indirect table outside of memory is refused",
    "BAD_ADDRESS",
    ({ queue }) => {
      queue.writeDescriptor(3, { address: NOWHERE, length: 16, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3: next beyond an indirect table is refused",
    "DESCRIPTOR_OUT_OF_RANGE",
    ({ queue, ram, table, readable }) => {
      writeDescriptor(ram.bytes(table, 16), 0, {
        address: readable,
        length: 8,
        flags: NEXT,
        next: 1,
      });
      queue.writeDescriptor(3, { address: table, length: 16, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3: a loop in an indirect table ends",
    "CHAIN_TOO_LONG",
    ({ queue, ram, table, readable }) => {
      const bytes = ram.bytes(table, 32);
      writeDescriptor(bytes, 0, { address: readable, length: 1, flags: NEXT, next: 1 });
      writeDescriptor(bytes, 1, { address: readable, length: 1, flags: NEXT, next: 0 });
      queue.writeDescriptor(3, { address: table, length: 32, flags: INDIRECT, next: 0 });
    },
  ],
  [
    "2.7.5.3.1: a chain longer than the queue, with what its indirect table adds, is refused",
    "CHAIN_TOO_LONG",
    ({ queue, ram, table, readable }) => {
      const bytes = ram.bytes(table, 16 * SIZE);
      for (let i = 0; i < SIZE; i++) {
        const flags = i + 1 < SIZE ? NEXT : 0;
        writeDescriptor(bytes, i, { address: readable, length: 1, flags, next: i + 1 });
      }
      queue.writeDescriptor(3, { address: readable, length: 1, flags: NEXT, next: 4 });
      queue.writeDescriptor(4, { address: table, length: 16 * SIZE, flags: INDIRECT, next: 0 });
    },
  ],
];

describe("a malformed chain comes back with used length 0, and the queue goes on", () => {
  test.each(malformed)("virtio %s (%s)", async (_rule, code, malform) => {
    const running = await smallQueue();
    const { queue, device, log } = running;
    malform(running);
    expect(await offerRaw(running, queue, 3)).toBe(0);
    expect(device.malformed.map((error) => error.code)).toEqual([code]);
    // The driver's own chain uses descriptors 0 and 1.
    expect(await echo(running, queue, Buffer.from("next"))).toEqual(Buffer.from("next"));
    expect(queue.errors()).toBe(0);
    expect(log).toEqual([]);
  });

  test("virtio 2.7.5.3.1: an indirect descriptor that was not negotiated is refused", async () => {
    const running = await smallQueue(F_VERSION_1);
    const { queue, ram, table, readable, device } = running;
    writeDescriptor(ram.bytes(table, 16), 0, { address: readable, length: 8, flags: 0, next: 0 });
    queue.writeDescriptor(3, { address: table, length: 16, flags: INDIRECT, next: 0 });
    expect(await offerRaw(running, queue, 3)).toBe(0);
    expect(device.malformed.map((error) => error.code)).toEqual(["INDIRECT_NOT_NEGOTIATED"]);
  });
});

describe("a chain's framing", () => {
  test("virtio 2.7.5.3.2: the write flag of an indirect descriptor is ignored", async () => {
    const running = await smallQueue();
    const { queue, ram, table, readable, writable } = running;
    const bytes = ram.bytes(table, 32);
    ram.bytes(readable, 5).write("hello");
    writeDescriptor(bytes, 0, { address: readable, length: 5, flags: NEXT, next: 1 });
    writeDescriptor(bytes, 1, { address: writable, length: 64, flags: WRITE, next: 0 });
    queue.writeDescriptor(3, { address: table, length: 32, flags: INDIRECT | WRITE, next: 0 });
    expect(await offerRaw(running, queue, 3)).toBe(5);
    expect(ram.bytes(writable, 5).toString()).toBe("hello");
  });

  test("virtio 2.7.5.3.1: direct descriptors followed by an indirect one are one chain", async () => {
    const running = await smallQueue();
    const { queue, ram, frontEnd, readable, writable } = running;
    ram.bytes(readable, 10).write("0123456789");
    queue.add(
      [
        { address: readable, length: 4, writable: false },
        { address: readable + 4n, length: 6, writable: false },
        { address: writable, length: 3, writable: true },
        { address: writable + 3n, length: 61, writable: true },
      ],
      { indirectFrom: 1 },
    );
    await frontEnd.until(() => queue.collect() >= 0, "the answer");
    expect(queue.usedLength).toBe(10);
    expect(ram.bytes(writable, 10).toString()).toBe("0123456789");
  });

  test("virtio 2.7.5: a chain of as many descriptors as the queue has is served", async () => {
    const { queue, ram, frontEnd, readable, writable } = await smallQueue();
    ram.bytes(readable, 4).write("abcd");
    queue.add(
      Array.from({ length: SIZE }, (_, i) => ({
        address: i < 4 ? readable + BigInt(i) : writable + BigInt(i - 4),
        length: 1,
        writable: i >= 4,
      })),
    );
    await frontEnd.until(() => queue.collect() >= 0, "the answer");
    expect(ram.bytes(writable, 4).toString()).toBe("abcd");
  });

  test("virtio 2.7.5.3: an indirect table with as many descriptors as the queue is served", async () => {
    const { queue, ram, frontEnd, readable, writable } = await smallQueue();
    ram.bytes(readable, 4).write("abcd");
    const head = queue.add(
      Array.from({ length: SIZE }, (_, i) => ({
        address: i < 4 ? readable + BigInt(i) : writable + BigInt(i - 4),
        length: 1,
        writable: i >= 4,
      })),
      { indirectFrom: 0 },
    );
    expect(head).toBe(0);
    await frontEnd.until(() => queue.collect() >= 0, "the answer");
    expect(ram.bytes(writable, 4).toString()).toBe("abcd");
  });

  test("virtio 2.7.4: descriptors of no bytes change nothing", async () => {
    const { queue, ram, frontEnd, readable, writable } = await smallQueue();
    ram.bytes(readable, 2).write("ab");
    queue.add([
      { address: readable, length: 0, writable: false },
      { address: readable, length: 2, writable: false },
      { address: writable, length: 0, writable: true },
      { address: writable, length: 2, writable: true },
    ]);
    await frontEnd.until(() => queue.collect() >= 0, "the answer");
    expect(queue.usedLength).toBe(2);
    expect(ram.bytes(writable, 2).toString()).toBe("ab");
  });

  test("virtio 2.7.8.2: used length is what was written, where the room is larger or smaller", async () => {
    const running = await smallQueue();
    expect(await echo(running, running.queue, Buffer.from("abc"), 64)).toHaveLength(3);
    expect(await echo(running, running.queue, Buffer.from("abcdef"), 2)).toEqual(Buffer.from("ab"));
    expect(await echo(running, running.queue, Buffer.from("abcdef"), 0)).toHaveLength(0);
  });

  test("virtio 2.7.8: nothing outside of the writable part is written", async () => {
    const { queue, ram, frontEnd, readable } = await smallQueue();
    const around = ram.allocate(64);
    ram.bytes(around, 64).fill(0xee);
    ram.bytes(readable, 64).fill(0x11);
    queue.add([
      { address: readable, length: 64, writable: false },
      { address: around + 8n, length: 8, writable: true },
      { address: around + 32n, length: 8, writable: true },
    ]);
    await frontEnd.until(() => queue.collect() >= 0, "the answer");
    const expected = Buffer.alloc(64, 0xee);
    expected.fill(0x11, 8, 16).fill(0x11, 32, 40);
    expect(ram.bytes(around, 64)).toEqual(expected);
    expect(ram.bytes(readable, 64)).toEqual(Buffer.alloc(64, 0x11));
  });
});
