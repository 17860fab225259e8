import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import type { DriverQueue } from "../support/fake-driver.js";
import { closeAll, closing, strictLoop } from "../support/in-process.js";
import { everyBytes, inOne, type PstoreDriver, pieceByPiece } from "../support/pstore-driver.js";
import { type PstoreGuest, recordNames, startGuest } from "../support/pstore-in-process.js";
import { decodeResponse, encodeRequest, type PstoreRequest } from "../support/pstore-wire.js";
import { F_INDIRECT, F_VERSION_1 } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const [NULL, OPEN, READ, WRITE, ERASE, CLOSE] = [0, 1, 2, 3, 4, 5] as const;
const [UNKNOWN, DMESG, CONSOLE] = [0, 1, 2] as const;
const COMPRESSED = 1;

const text = Buffer.from("Panic#1 Part1\nlast words\n");

const contents = (guest: PstoreGuest, name: string) => readFileSync(join(guest.directory, name));

/** Sends a request as it is and returns all that the device wrote, as much as it says. */
async function send(
  { frontEnd }: PstoreGuest,
  driver: PstoreDriver,
  queue: DriverQueue,
  readable: readonly Uint8Array[],
  writable: readonly number[],
): Promise<Buffer> {
  const prepared = driver.prepare(queue, readable, writable);
  queue.offer(prepared.head);
  let head = -1;
  await frontEnd.until(() => {
    head = queue.collect();
    return head >= 0;
  }, "the device's answer");
  expect(head).toBe(prepared.head);
  expect(queue.usedLength).toBeLessThanOrEqual(prepared.writable.length);
  const bytes = Buffer.from(prepared.writable.subarray(0, queue.usedLength));
  // What lies behind the used length is as the driver left it.
  expect(prepared.writable.subarray(queue.usedLength).every((byte) => byte === 0xa5)).toBe(true);
  driver.discard(queue, prepared);
  return bytes;
}

describe("commands", () => {
  test.each([0, 1])("pstore: all five commands are served on queue %i", async (index) => {
    const guest = await startGuest();
    const queue = index === 0 ? guest.driver.readQueue : guest.driver.writeQueue;
    const ask = (request: PstoreRequest, data: readonly Uint8Array[], room: readonly number[]) =>
      send(guest, guest.driver, queue, [encodeRequest(request), ...data], room);
    expect((await ask({ cmd: WRITE, type: DMESG }, [text], [8])).length).toBe(8);
    expect((await ask({ cmd: OPEN }, [], [8])).length).toBe(8);
    const read = await ask({ cmd: READ }, [], [8, 40, 1000]);
    expect(read.subarray(48)).toEqual(text);
    expect((await ask({ cmd: ERASE, type: DMESG, id: 1n }, [], [8])).readInt32LE(4)).toBe(0);
    expect((await ask({ cmd: CLOSE }, [], [8])).readInt32LE(4)).toBe(0);
    expect(decodeResponse(await ask({ cmd: READ }, [], [8, 40, 9]), 8).ret).toBe(-errno.EBADF);
  });

  test("pstore: a walk is the device's, not a queue's", async () => {
    const guest = await startGuest();
    await guest.driver.write({ type: DMESG }, text);
    await guest.driver.request({ cmd: OPEN }, guest.driver.writeQueue);
    expect((await guest.driver.read()).record?.data).toEqual(text);
  });

  test("pstore: the response echoes cmd and type, whatever they are", async () => {
    const { driver } = await startGuest();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: 0, max: 0xffff }),
        async (cmd, type) => {
          expect(await driver.request({ cmd, type })).toMatchObject({ cmd, type, usedLength: 8 });
        },
      ),
      {
        numRuns: 200,
        examples: [
          [OPEN, 0xffff],
          [0x8000, 0x8000],
        ],
      },
    );
  });

  test("pstore: ret is a signed 32-bit number, little-endian", async () => {
    const guest = await startGuest();
    const request = encodeRequest({ cmd: 0x0102, type: 0x0304 });
    const bytes = await send(guest, guest.driver, guest.driver.readQueue, [request], [8]);
    // -95, EOPNOTSUPP: two's complement.
    expect([...bytes]).toEqual([0x02, 0x01, 0x04, 0x03, 0xa1, 0xff, 0xff, 0xff]);
  });

  test.each([NULL, 6, 7, 255, 256, 0x8001, 0xffff])(
    "pstore: command %i is unknown: -EOPNOTSUPP",
    async (cmd) => {
      const { driver, directory } = await startGuest();
      expect(await driver.request({ cmd, type: DMESG })).toMatchObject({ ret: -errno.EOPNOTSUPP });
      expect(recordNames(directory)).toEqual([]);
    },
  );
});

describe("framing (virtio 2.7.4)", () => {
  const cuts = [
    ["piece by piece", pieceByPiece],
    ["each side in one descriptor", inOne],
    ["in descriptors of 7 bytes", everyBytes(7)],
    ["byte by byte", everyBytes(1)],
  ] as const;
  for (const indirect of [false, true]) {
    test.each(cuts)(
      `virtio 2.7.4: a request cut %s is served${indirect ? ", indirect" : ""}`,
      async (_, cut) => {
        const features = indirect ? F_VERSION_1 | F_INDIRECT : F_VERSION_1;
        const guest = await startGuest({ bufsize: 40 }, { cut, indirect, features });
        const { driver } = guest;
        expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0, usedLength: 8 });
        expect(contents(guest, "dmesg-1")).toEqual(text);
        const [record, ...more] = await driver.walk();
        expect(record?.data).toEqual(text);
        expect(more).toEqual([]);
        expect(await driver.erase(DMESG, 1n)).toMatchObject({ ret: 0 });
        expect(await driver.walk()).toEqual([]);
      },
    );
  }

  test("virtio 2.7.4: any cut of any request, with descriptors of 0 bytes among them, is served", async () => {
    let lengths: readonly number[] = [];
    const cut = (pieces: readonly number[]) => {
      let left = pieces.reduce((sum, piece) => sum + piece, 0);
      const parts = lengths.map((length) => {
        const part = Math.min(left, length);
        left -= part;
        return part;
      });
      return [...parts, left];
    };
    const guest = await startGuest({ bufsize: 200 }, { cut });
    let id = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(60), { maxLength: 30 }),
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        async (split, data) => {
          lengths = split;
          expect(await guest.driver.write({ type: DMESG }, data)).toMatchObject({
            ret: 0,
            usedLength: 8,
          });
          id++;
          expect(contents(guest, `dmesg-${id}`)).toEqual(Buffer.from(data));
          const walked = await guest.driver.walk();
          expect(walked.at(-1)?.data).toEqual(Buffer.from(data));
          await guest.driver.erase(DMESG, BigInt(id));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("pstore: a request may have 1,024 descriptors and one for each page of the most data, and no more", async () => {
    const guest = await startGuest({}, { queue: { size: 2048 } });
    const { driver, frontEnd } = guest;
    const most = 1024 + (1 << 20) / 4096;
    const from = driver.ram.allocate(24);
    driver.ram.bytes(from, 24).set(encodeRequest({ cmd: CLOSE }));
    const to = driver.ram.allocate(8);
    const usedLength = async (descriptors: number) => {
      const queue = driver.readQueue;
      const head = queue.add([
        { address: from, length: 24, writable: false },
        ...Array.from({ length: descriptors - 2 }, () => ({
          address: from,
          length: 1,
          writable: false,
        })),
        { address: to, length: 8, writable: true },
      ]);
      let collected = -1;
      await frontEnd.until(() => {
        collected = queue.collect();
        return collected === head;
      }, "the answer");
      return queue.usedLength;
    };
    expect(await usedLength(most)).toBe(8);
    expect(await usedLength(most + 1)).toBe(0);
  });

  test("virtio 2.7.4: bytes behind a request that has no data are ignored", async () => {
    const guest = await startGuest();
    const request = [encodeRequest({ cmd: OPEN }), Buffer.alloc(100)];
    const bytes = await send(guest, guest.driver, guest.driver.readQueue, request, [8, 100]);
    expect(decodeResponse(bytes, bytes.length)).toMatchObject({ ret: 0, usedLength: 8 });
  });

  test.each([0, 1, 23])("pstore: a request of %i bytes is too short: -EINVAL", async (length) => {
    const guest = await startGuest();
    const request = encodeRequest({ cmd: WRITE, type: DMESG }).subarray(0, length);
    const bytes = await send(
      guest,
      guest.driver,
      guest.driver.writeQueue,
      length === 0 ? [] : [request],
      [8],
    );
    expect(decodeResponse(bytes, bytes.length)).toMatchObject({
      cmd: 0,
      type: 0,
      ret: -errno.EINVAL,
      usedLength: 8,
    });
    expect(recordNames(guest.directory)).toEqual([]);
  });

  test.each([0, 1, 7])(
    "pstore: with %i bytes of room for the response a request is completed with used length 0, and not done",
    async (room) => {
      const guest = await startGuest();
      const { driver } = guest;
      await driver.write({ type: DMESG }, text);
      const before = readdirSync(guest.directory);
      const silent = (request: PstoreRequest, data: readonly Uint8Array[] = []) =>
        send(
          guest,
          driver,
          driver.writeQueue,
          [encodeRequest(request), ...data],
          room === 0 ? [] : [room],
        );
      expect(await silent({ cmd: WRITE, type: DMESG }, [text])).toHaveLength(0);
      expect(await silent({ cmd: WRITE, type: CONSOLE }, [text])).toHaveLength(0);
      expect(await silent({ cmd: ERASE, type: DMESG, id: 1n })).toHaveLength(0);
      expect(await silent({ cmd: OPEN })).toHaveLength(0);
      expect(readdirSync(guest.directory)).toEqual(before);
      expect(await driver.read()).toMatchObject({ ret: -errno.EBADF });
      expect(guest.log.map(({ code }) => code)).toEqual(Array(4).fill("NO_ROOM"));
      expect((await driver.walk()).map(({ data }) => data)).toEqual([text]);
    },
  );
});

describe("WRITE", () => {
  test("pstore: WRITE stores dmesg-N and dmesg-N.enc.z; the device picks N and ignores the request's id", async () => {
    const guest = await startGuest();
    const { driver } = guest;
    const compressed = Buffer.from([1, 2, 3]);
    const answers = [
      await driver.write({ type: DMESG, id: 77n, count: 9 }, text),
      await driver.write({ type: DMESG, id: 1n, flags: COMPRESSED }, compressed),
      await driver.write({ type: DMESG, id: (1n << 64n) - 1n }, text),
    ];
    for (const answer of answers) {
      expect(answer).toEqual({ cmd: WRITE, type: DMESG, ret: 0, usedLength: 8 });
    }
    expect(recordNames(guest.directory)).toEqual(["dmesg-1", "dmesg-2.enc.z", "dmesg-3"]);
    expect(contents(guest, "dmesg-1")).toEqual(text);
    expect(contents(guest, "dmesg-2.enc.z")).toEqual(compressed);
  });

  test("pstore: console data is appended to one console-N file", async () => {
    const guest = await startGuest();
    for (const line of ["one\n", "two\n", "three\n"]) {
      expect(await guest.driver.write({ type: CONSOLE }, Buffer.from(line))).toEqual({
        cmd: WRITE,
        type: CONSOLE,
        ret: 0,
        usedLength: 8,
      });
    }
    expect(recordNames(guest.directory)).toEqual(["console-1"]);
    expect(contents(guest, "console-1").toString()).toBe("one\ntwo\nthree\n");
  });

  test("pstore: console data is refused where CONSOLE isn't offered: -EINVAL", async () => {
    const guest = await startGuest({ types: ["dmesg"] });
    expect(await guest.driver.write({ type: CONSOLE }, text)).toMatchObject({ ret: -errno.EINVAL });
    expect(recordNames(guest.directory)).toEqual([]);
    expect(guest.log.map(({ code }) => code)).toEqual(["REFUSED"]);
  });

  test.each([UNKNOWN, 3, 4, 255, 257, 0x8001, 0xffff])(
    "pstore: WRITE of type %i, which isn't known: -EINVAL",
    async (type) => {
      const { driver, directory } = await startGuest();
      expect(await driver.write({ type }, text)).toMatchObject({ ret: -errno.EINVAL });
      expect(recordNames(directory)).toEqual([]);
    },
  );

  test.each([2, 3, 0x8000_0000, 0xffff_ffff])(
    "pstore: WRITE with flags %i, which aren't all known: -EINVAL",
    async (flags) => {
      const { driver, directory } = await startGuest();
      expect(await driver.write({ type: DMESG, flags }, text)).toMatchObject({
        ret: -errno.EINVAL,
      });
      expect(recordNames(directory)).toEqual([]);
    },
  );

  test("pstore: console data has no flags: -EINVAL", async () => {
    const { driver, directory } = await startGuest();
    expect(await driver.write({ type: CONSOLE, flags: COMPRESSED }, text)).toMatchObject({
      ret: -errno.EINVAL,
    });
    expect(recordNames(directory)).toEqual([]);
  });

  test.each([DMESG, CONSOLE])("pstore: WRITE of type %i without data: -EINVAL", async (type) => {
    const { driver, directory } = await startGuest();
    expect(await driver.request({ cmd: WRITE, type })).toMatchObject({ ret: -errno.EINVAL });
    expect(recordNames(directory)).toEqual([]);
  });

  test.each([
    [4096, 65536],
    [65536, 65536],
    [65537, 131072],
  ])(
    "pstore: with bufsize %i a WRITE of at most %i bytes is taken: -EMSGSIZE beyond, as a driver rounds up to its page",
    async (bufsize, most) => {
      const guest = await startGuest({ bufsize, maxData: 4096 });
      const data = Buffer.alloc(most + 1, "x");
      for (const type of [DMESG, CONSOLE]) {
        expect(await guest.driver.write({ type }, data)).toMatchObject({ ret: -errno.EMSGSIZE });
      }
      expect(recordNames(guest.directory)).toEqual([]);
      for (const type of [DMESG, CONSOLE]) {
        expect(await guest.driver.write({ type }, data.subarray(1))).toMatchObject({ ret: 0 });
      }
      expect(contents(guest, "dmesg-1")).toEqual(data.subarray(1));
      expect(contents(guest, "console-2")).toEqual(data.subarray(1));
    },
  );
});

describe("several guests", () => {
  test("pstore: one guest's bad chains and broken rings don't disturb another's", async () => {
    const good = await startGuest();
    const bad = await startGuest({ loop: good.loop });
    const hole = 1n << 40n;
    for (let i = 0; i < 20; i++) {
      const queue = bad.driver.writeQueue;
      queue.add([{ address: hole, length: 24, writable: false }]);
      expect(await good.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
      await bad.frontEnd.until(() => queue.collect() >= 0, "the bad chain");
      expect(queue.usedLength).toBe(0);
    }
    // A ring that can't be served any more.
    bad.driver.writeQueue.setAvailableIndex(bad.driver.writeQueue.nextAvailable + 1000);
    bad.driver.writeQueue.kick();
    await bad.frontEnd.until(() => bad.driver.writeQueue.errors() > 0, "the error notification");
    expect(await good.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(recordNames(good.directory)).toHaveLength(21);
    expect(recordNames(bad.directory)).toEqual([]);
    expect(good.log).toEqual([]);
    // Its other queue is still served.
    expect(await bad.driver.open()).toMatchObject({ ret: 0 });
  });

  test("pstore: a malformed chain among good ones is completed, and they are stored", async () => {
    const guest = await startGuest();
    const { driver, frontEnd } = guest;
    const queue = driver.writeQueue;
    const heads = [
      driver.prepareWrite({ type: DMESG }, text).head,
      queue.place([{ address: 1n << 40n, length: 24, writable: false }]),
      driver.prepareWrite({ type: DMESG }, text).head,
    ];
    for (const head of heads) queue.stage(head);
    queue.announce();
    queue.kick();
    const used: [number, number][] = [];
    await frontEnd.until(() => {
      const head = queue.collect();
      if (head >= 0) used.push([head, queue.usedLength]);
      return used.length === 3;
    }, "all three");
    expect(used).toEqual(heads.map((head, i) => [head, i === 1 ? 0 : 8]));
    expect(recordNames(guest.directory)).toEqual(["dmesg-1", "dmesg-2"]);
    expect(guest.log.map(({ code }) => code)).toEqual(["BAD_ADDRESS"]);
  });

  test("pstore: a guest with many requests waiting is served turn by turn with others", async () => {
    const one = await startGuest({ bufsize: 4096 }, { queue: { size: 512 } });
    const other = await startGuest({ loop: one.loop });
    const queue = one.driver.writeQueue;
    const count = 150;
    for (let i = 0; i < count; i++) {
      queue.stage(one.driver.prepareWrite({ type: DMESG }, Buffer.from(`${i}`)).head);
    }
    queue.announce();
    queue.kick();
    let used = 0;
    const collect = () => {
      while (queue.collect() >= 0) used++;
      return used;
    };
    expect(await other.driver.open()).toMatchObject({ ret: 0 });
    expect(collect()).toBeLessThan(count);
    await one.frontEnd.until(() => collect() === count, "all of them");
    expect(recordNames(one.directory)).toHaveLength(count);
    for (let i = 0; i < count; i++) {
      expect(contents(one, `dmesg-${i + 1}`).toString()).toBe(`${i}`);
    }
  });

  test("pstore: large records are served in turns, so that others needn't wait for all of them", async () => {
    const MiB = 1 << 20;
    const ram = [{ guestAddress: 0n, size: 64n << 20n }];
    const loop = closing(strictLoop());
    const one = await startGuest({ loop, bufsize: MiB }, { ram });
    const other = await startGuest({ loop: one.loop });
    const queue = one.driver.writeQueue;
    for (let i = 0; i < 10; i++) {
      queue.stage(one.driver.prepareWrite({ type: DMESG }, Buffer.alloc(MiB, `${i}`)).head);
    }
    queue.announce();
    queue.kick();
    expect(await other.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(recordNames(one.directory).length).toBeLessThan(10);
    let used = 0;
    await one.frontEnd.until(() => {
      while (queue.collect() >= 0) used++;
      return used === 10;
    }, "all of them");
    for (let i = 0; i < 10; i++) {
      expect(contents(one, `dmesg-${i + 1}`).equals(Buffer.alloc(MiB, `${i}`))).toBe(true);
    }
  });
});
