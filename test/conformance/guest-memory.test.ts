import { afterEach, describe, expect, test } from "vitest";
import { DriverQueue } from "../support/fake-driver.js";
import { GIB, GuestRam, MIB, type RamSpec } from "../support/guest-ram.js";
import {
  closeAll,
  closing,
  connectPair,
  echo,
  type Running,
  settle,
  startPair,
} from "../support/in-process.js";
import { qemuConnect, qemuStart, startRing } from "../support/negotiations.js";
import { memoryRegion, memoryTable, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

/** QEMU's layout: below the PCI hole and above 4 GiB, in one file. */
const SPLIT: readonly RamSpec[] = [
  { guestAddress: 0n, size: 4n * MIB },
  { guestAddress: 4n * GIB, size: 6n * GIB, fileOffset: 4n * MIB, sameFile: true },
];

/** Offers one buffer to read and one to write, and returns the used length. */
async function request(running: Running, from: bigint, to: bigint, length: number) {
  const { queue, frontEnd } = running;
  queue.add([
    { address: from, length, writable: false },
    { address: to, length, writable: true },
  ]);
  await frontEnd.until(() => queue.collect() >= 0, "the answer");
  return queue.usedLength;
}

describe("regions", () => {
  test.each([
    ["ADD_MEM_REG", false],
    ["SET_MEM_TABLE", true],
  ])(
    "vhost-user %s: rings and buffers above 4 GiB, in a region larger than 4 GiB",
    async (_name, wholeTable) => {
      const running = await startPair({ ram: SPLIT, wholeTable, queue: { region: 1 } });
      const { ram } = running;
      const far = 4n * GIB + 5n * GIB + 123n;
      ram.bytes(far, 6).write("far up");
      const low = ram.allocate(16, 16n, 0);
      expect(await request(running, far, low, 6)).toBe(6);
      expect(ram.bytes(low, 6).toString()).toBe("far up");
      expect(await request(running, low, far + 4096n, 6)).toBe(6);
      expect(ram.bytes(far + 4096n, 6).toString()).toBe("far up");
    },
  );

  test("virtio 2.7.5: a buffer across a gibibyte's edge of a large region is one buffer", async () => {
    const running = await startPair({ ram: SPLIT });
    const { ram } = running;
    // Mappings are seen through windows of 1 GiB: this buffer lies in two of them.
    const edge = 4n * GIB + 1n * GIB - 4n;
    ram.bytes(edge, 8).write("ab__edge");
    const to = ram.allocate(8);
    expect(await request(running, edge, to, 8)).toBe(8);
    expect(ram.bytes(to, 8).toString()).toBe("ab__edge");
    expect(await request(running, to, edge + 1n, 8)).toBe(8);
    expect(ram.bytes(edge + 1n, 8).toString()).toBe("ab__edge");
  });

  const TOUCHING: readonly RamSpec[] = [
    { guestAddress: 0n, size: MIB },
    { guestAddress: MIB, size: MIB },
    { guestAddress: 3n * MIB, size: MIB },
  ];

  test("virtio 2.7.5: a buffer across two regions that touch is one buffer, in both directions", async () => {
    const running = await startPair({ ram: TOUCHING });
    const { ram } = running;
    ram.bytes(MIB - 3n, 3).write("abc");
    ram.bytes(MIB, 3).write("def");
    const to = ram.allocate(6);
    expect(await request(running, MIB - 3n, to, 6)).toBe(6);
    expect(ram.bytes(to, 6).toString()).toBe("abcdef");
    expect(await request(running, to, MIB - 2n, 6)).toBe(6);
    expect(ram.bytes(MIB - 2n, 2).toString()).toBe("ab");
    expect(ram.bytes(MIB, 4).toString()).toBe("cdef");
  });

  test("virtio 2.7.5: a buffer that reaches into a hole is refused whole", async () => {
    const running = await startPair({ ram: TOUCHING });
    const { ram, device } = running;
    const from = ram.allocate(16);
    ram.bytes(from, 16).fill(0x55);
    expect(await request(running, from, 2n * MIB - 8n, 16)).toBe(0);
    expect(ram.bytes(2n * MIB - 8n, 8)).toEqual(Buffer.alloc(8));
    expect(await request(running, from, 3n * MIB - 8n, 16)).toBe(0);
    expect(device.malformed.map((error) => error.code)).toEqual(["BAD_ADDRESS", "BAD_ADDRESS"]);
  });

  test("vhost-user: guest addresses and front-end addresses are not mixed up", async () => {
    // The second region's front-end address is the first one's guest address.
    const running = await startPair({
      ram: [
        { guestAddress: 64n * MIB, size: MIB, userAddress: 128n * MIB },
        { guestAddress: 128n * MIB, size: MIB, userAddress: 64n * MIB },
      ],
    });
    expect(await echo(running, running.queue, Buffer.from("hello"))).toEqual(Buffer.from("hello"));
  });
});

describe("memory that changes", () => {
  test("vhost-user SET_MEM_TABLE: replaces all regions", async () => {
    const running = await startPair({ wholeTable: true });
    const { frontEnd, ram, queue, loop, device } = running;
    expect(await echo(running, queue, Buffer.from("one"))).toEqual(Buffer.from("one"));

    // The same file at another guest address; the rings' front-end addresses stay.
    const region = { ...ram.region(0), guestAddress: GIB };
    const table = memoryTable([region]);
    expect(await frontEnd.tell(VU.SET_MEM_TABLE, table, [region.fd])).toBe(0n);
    const from = ram.allocate(16);
    ram.bytes(from, 3).write("two");
    expect(await request(running, from, from + 8n, 3)).toBe(0);
    expect(device.malformed).toHaveLength(1);
    expect(await request(running, from + GIB, from + GIB + 8n, 3)).toBe(3);
    expect(ram.bytes(from + 8n, 3).toString()).toBe("two");
    settle(loop);
  });

  test("vhost-user SET_MEM_TABLE: waits for chains in flight, which end in the memory they began in", async () => {
    const running = await startPair({ wholeTable: true });
    const { frontEnd, ram, queue, loop, device } = running;
    device.holds = true;
    const from = ram.allocate(16);
    ram.bytes(from, 3).write("old");
    queue.add([
      { address: from, length: 3, writable: false },
      { address: from + 8n, length: 3, writable: true },
    ]);
    settle(loop);
    expect(device.held).toBe(1);
    const other = closing(new GuestRam());
    let answered = false;
    const answer = frontEnd.setMemoryTable(other).then((value) => {
      answered = true;
      return value;
    });
    settle(loop);
    await Promise.resolve();
    expect(answered).toBe(false);
    device.complete();
    expect(await answer).toBe(0n);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
    expect(ram.bytes(from + 8n, 3).toString()).toBe("old");
  });

  test("vhost-user SET_MEM_TABLE: one that fails leaves no memory, and the next one starts the rings again", async () => {
    const running = await startPair({ wholeTable: true });
    const { frontEnd, ram, queue, loop } = running;
    const [region] = ram.regions;
    if (region === undefined) throw new Error("no region");
    expect(await frontEnd.tell(VU.SET_MEM_TABLE, memoryTable([region]), [])).not.toBe(0n);
    const from = ram.allocate(16);
    queue.add([{ address: from, length: 1, writable: false }]);
    settle(loop);
    expect(queue.collect()).toBe(-1);
    expect(await frontEnd.setMemoryTable(ram)).toBe(0n);
    settle(loop);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
  });

  test.each<[string, (running: Running) => Promise<unknown>, string]>([
    [
      "SET_MEM_TABLE lacks its descriptor",
      ({ frontEnd, ram }) => frontEnd.tell(VU.SET_MEM_TABLE, memoryTable(ram.regions), []),
      "SET_MEM_TABLE failed: 0 descriptors came for 1 regions",
    ],
    [
      "SET_MEM_TABLE names no region",
      ({ frontEnd }) => frontEnd.tell(VU.SET_MEM_TABLE, memoryTable([])),
      "SET_MEM_TABLE left none",
    ],
    [
      "REM_MEM_REG takes the last region",
      ({ frontEnd, ram }) => frontEnd.removeRegion(ram.region(0)),
      "REM_MEM_REG left none",
    ],
  ])("vhost-user: without memory, as %s, each ring tells once why", async (_name, lose, why) => {
    const running = await startPair();
    const { frontEnd, log } = running;
    await lose(running);
    // Whatever is said next tries the rings again.
    for (let i = 0; i < 3; i++) await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 1);
    const said = log.filter(({ code }) => code === "NO_MEMORY");
    expect(said.map(({ message }) => message)).toEqual(
      [0, 1].map((i) => `queue ${i} was started, but no guest memory is shared: ${why}`),
    );
  });

  test("vhost-user: without memory, as the front-end never told of any, each ring tells what QEMU needs", async () => {
    const { frontEnd, log } = connectPair();
    const ram = closing(new GuestRam());
    const queues = [0, 1].map(() => closing(new DriverQueue(ram)));
    await qemuConnect(frontEnd, queues);
    // As QEMU 11.1.3 does without share=on.
    await qemuStart(frontEnd, closing(new GuestRam([])), queues);
    expect(log.map(({ code, message }) => [code, message])).toEqual(
      [0, 1].map((i) => [
        "NO_MEMORY",
        `queue ${i} was started, but no guest memory is shared: the VMM named none, as QEMU does without share=on`,
      ]),
    );
  });

  test("vhost-user REM_MEM_REG: the region is gone, and ADD_MEM_REG brings it back", async () => {
    const running = await startPair({
      ram: [
        { guestAddress: 0n, size: MIB },
        { guestAddress: GIB, size: MIB },
      ],
    });
    const { frontEnd, ram, device } = running;
    const here = ram.allocate(16);
    const there = ram.allocate(16, 16n, 1);
    expect(await request(running, here, there, 8)).toBe(8);
    expect(await frontEnd.removeRegion(ram.region(1))).toBe(0n);
    expect(await request(running, here, there, 8)).toBe(0);
    expect(device.malformed.map((error) => error.code)).toEqual(["BAD_ADDRESS"]);
    expect(await frontEnd.addRegion(ram.region(1))).toBe(0n);
    expect(await request(running, here, there, 8)).toBe(8);
  });

  test("vhost-user REM_MEM_REG: rings in the region stop, and run again once it is back", async () => {
    const running = await startPair({
      ram: [
        { guestAddress: 0n, size: MIB },
        { guestAddress: GIB, size: MIB },
      ],
    });
    const { frontEnd, ram, queue, loop } = running;
    const first = ram.region(0);
    expect(await frontEnd.removeRegion(first)).toBe(0n);
    const address = ram.allocate(8, 8n, 0);
    queue.add([{ address, length: 8, writable: false }]);
    settle(loop);
    expect(queue.collect()).toBe(-1);
    expect(await frontEnd.addRegion(first)).toBe(0n);
    settle(loop);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
  });

  test("vhost-user REM_MEM_REG: the mmap offset is ignored, and a descriptor that comes along is closed", async () => {
    const { frontEnd, ram } = await startPair({ ram: SPLIT });
    const region = ram.region(1);
    const payload = memoryRegion({ ...region, fileOffset: 0x1234n });
    expect(await frontEnd.tell(VU.REM_MEM_REG, payload, [region.fd])).toBe(0n);
    expect(await frontEnd.removeRegion(region)).not.toBe(0n);
  });

  test("vhost-user GET_MAX_MEM_SLOTS: so many regions are taken, and not one more", async () => {
    const { frontEnd } = await startPair({ ram: [{ guestAddress: 0n, size: MIB }] });
    const slots = Number(await frontEnd.askU64(VU.GET_MAX_MEM_SLOTS));
    const page = closing(new GuestRam([{ guestAddress: GIB, size: 4096n }])).region(0);
    const answers: bigint[] = [];
    for (let i = 0; i < slots; i++) {
      const step = BigInt(i) * 8192n;
      answers.push(
        await frontEnd.addRegion({
          ...page,
          guestAddress: GIB + step,
          userAddress: page.userAddress + step,
        }),
      );
    }
    expect(answers.slice(0, -1).every((answer) => answer === 0n)).toBe(true);
    expect(answers.at(-1)).not.toBe(0n);
  });
});

describe("regions that can't be", () => {
  const at = (guestAddress: bigint, size: bigint, fileOffset = 0n, userAddress = 0x5000_0000n) => ({
    guestAddress,
    size,
    fileOffset,
    userAddress,
  });
  const TOP = 1n << 64n;

  test.each([
    ["of no bytes", at(GIB, 0n)],
    ["that overlaps another", at(15n * MIB, 2n * MIB)],
    ["that passes the end of the guest's addresses", at(TOP - 4096n, 8192n)],
    ["that passes the end of the front-end's addresses", at(GIB, 8192n, 0n, TOP - 4096n)],
    ["that passes its file's end", at(GIB, 17n * MIB)],
    ["whose offset passes its file's end", at(GIB, 4096n, 16n * MIB)],
    ["whose offset and size overflow", at(GIB, TOP - 4096n, 8192n)],
    ["whose offset is no page's start", at(GIB, 4096n, 16n)],
    ["whose guest address is no page's start", at(GIB + 8n, 4096n)],
  ])("vhost-user ADD_MEM_REG: a region %s is refused, and nothing else", async (_name, region) => {
    const running = await startPair();
    const { frontEnd, ram, queue } = running;
    const payload = memoryRegion(region);
    expect(await frontEnd.tell(VU.ADD_MEM_REG, payload, [ram.region(0).fd])).not.toBe(0n);
    expect(await echo(running, queue, Buffer.from("on"))).toEqual(Buffer.from("on"));
  });

  test("vhost-user ADD_MEM_REG: a descriptor that can't be mapped is refused, and nothing else", async () => {
    const running = await startPair();
    const { frontEnd, queue } = running;
    const payload = memoryRegion(at(GIB, 4096n));
    const eventfd = queue.errorNotifier.passed;
    expect(await frontEnd.tell(VU.ADD_MEM_REG, payload, [eventfd])).not.toBe(0n);
    expect(await frontEnd.tell(VU.ADD_MEM_REG, payload, [])).not.toBe(0n);
    expect(await echo(running, queue, Buffer.from("on"))).toEqual(Buffer.from("on"));
  });
});

describe("rings that can't be", () => {
  test.each([
    ["outside of memory", 0x1_0000_0000n],
    ["that passes its region's end", 16n * MIB - 64n],
    ["that breaks its alignment", 8n],
  ])(
    "vhost-user SET_VRING_ADDR: a descriptor table %s is refused, and a good one after it runs",
    async (_name, offset) => {
      const running = await startPair();
      const { frontEnd, ram, queue } = running;
      await frontEnd.getRingBase(0);
      queue.restart();
      const wrong = Object.create(queue, {
        ram: {
          value: {
            userAddress: (address: bigint) =>
              address === queue.descriptors
                ? ram.region(0).userAddress + offset
                : ram.userAddress(address),
          },
        },
      }) as DriverQueue;
      await frontEnd.setRingState(VU.SET_VRING_NUM, 0, queue.size);
      await frontEnd.setRingState(VU.SET_VRING_BASE, 0, 0);
      const answers = [
        await frontEnd.setRingAddress(0, wrong),
        await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0, queue.kickNotifier.passed),
      ];
      expect(answers.some((answer) => answer !== 0n)).toBe(true);
      await startRing(frontEnd, 0, queue);
      expect(await echo(running, queue, Buffer.from("good"))).toEqual(Buffer.from("good"));
    },
  );

  test("vhost-user SET_VRING_NUM: 0, what is no power of 2, and more than 32768 are refused", async () => {
    const { frontEnd } = await startPair();
    for (const num of [0, 3, 65536, 0xffff_ffff]) {
      expect(await frontEnd.setRingState(VU.SET_VRING_NUM, 0, num)).not.toBe(0n);
    }
  });
});
