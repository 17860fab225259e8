import { readdirSync } from "node:fs";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DriverQueue, type Part, writeDescriptor } from "../support/fake-driver.js";
import { GIB } from "../support/guest-ram.js";
import {
  closeAll,
  closing,
  connectPair,
  echo,
  patientLoop,
  type Running,
  settle,
  startPair,
} from "../support/in-process.js";
import { ALL_FEATURES, startRing } from "../support/negotiations.js";
import { header, message, VU } from "../support/vhost-user-wire.js";

beforeEach(closeAll);
afterEach(closeAll);

const text = Buffer.from("a good chain");
const codes =
  /^(BAD_ADDRESS|CHAIN_TOO_LONG|CHAIN_TOO_LARGE|DESCRIPTOR_OUT_OF_RANGE|HEAD_OUT_OF_RANGE|INDEX_JUMPED|INDIRECT_\w+|READABLE_AFTER_WRITABLE)$/;

/** Cuts [at, at + length) at random places into buffers, some of which may be empty. */
function cut(at: bigint, length: number, writable: boolean, cuts: readonly number[]): Part[] {
  const places = [0, ...cuts.map((c) => c % (length + 1)).sort((a, b) => a - b), length];
  return places.slice(1).map((end, i) => {
    const start = places[i] ?? 0;
    return { address: at + BigInt(start), length: end - start, writable };
  });
}

describe("chains", () => {
  test.each([
    ["without event index", ALL_FEATURES & ~(1n << 29n)],
    ["with event index", ALL_FEATURES],
  ])(
    "virtio 2.7.4: any framing of a request arrives as the same bytes, %s",
    async (_name, features) => {
      const running = await startPair({ features, queue: { size: 64 } });
      const { queue, ram, device, frontEnd } = running;
      device.keep = true;
      const from = ram.allocate(4096);
      const to = ram.allocate(4096);
      const readable = ram.bytes(from, 4096);
      const writable = ram.bytes(to, 4096);
      const cuts = fc.array(fc.nat(4096), { maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 3000 }),
          fc.nat(4096),
          cuts,
          cuts,
          fc.option(fc.nat(41), { nil: undefined }),
          async (bytes, room, inCuts, outCuts, indirectFrom) => {
            readable.set(bytes);
            writable.fill(0xcc);
            const head = queue.add(
              [...cut(from, bytes.length, false, inCuts), ...cut(to, room, true, outCuts)],
              indirectFrom === undefined ? {} : { indirectFrom },
            );
            let collected = -1;
            await frontEnd.until(() => {
              collected = queue.collect();
              return collected >= 0;
            }, "the answer");
            const written = Math.min(room, bytes.length);
            expect(collected).toBe(head);
            expect(queue.usedLength).toBe(written);
            expect(Buffer.compare(device.requests.pop() ?? Buffer.alloc(0), bytes)).toBe(0);
            expect(Buffer.compare(writable.subarray(0, written), bytes.subarray(0, written))).toBe(
              0,
            );
            expect(writable.subarray(written).every((byte) => byte === 0xcc)).toBe(true);
          },
        ),
        { numRuns: 200 },
      );
      expect(device.malformed).toEqual([]);
    },
  );

  const SIZE = 16;
  const RAM = 1 << 18;
  const address = fc.oneof(
    { weight: 6, arbitrary: fc.nat(RAM).map(BigInt) },
    { weight: 1, arbitrary: fc.integer({ min: RAM - 64, max: RAM + 64 }).map(BigInt) },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
  );
  const descriptor = fc.record({
    address,
    length: fc.oneof(
      { weight: 4, arbitrary: fc.nat(256) },
      { weight: 2, arbitrary: fc.nat(SIZE + 1).map((n) => n * 16) },
      { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
    ),
    flags: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom(0, 1, 2, 3, 4) },
      { weight: 1, arbitrary: fc.nat(0xffff) },
    ),
    next: fc.oneof(
      { weight: 8, arbitrary: fc.nat(SIZE - 1) },
      { weight: 1, arbitrary: fc.nat(0xffff) },
    ),
  });

  /** The device's rings anew, as after a reset of the driver. */
  async function restart({ frontEnd, queue }: Running): Promise<void> {
    await frontEnd.getRingBase(0);
    queue.restart();
    await startRing(frontEnd, 0, queue);
  }

  test("virtio 2.7: random tables and indexes end in nothing but a rule's name, and a good chain after them is served", async () => {
    const running = await startPair({
      features: ALL_FEATURES,
      queue: { size: SIZE },
      ram: [{ guestAddress: 0n, size: BigInt(RAM) }],
    });
    const { queue, ram, device, loop, log, frontEnd } = running;
    const from = ram.allocate(64);
    const to = ram.allocate(64);
    let broken = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(descriptor, { minLength: SIZE, maxLength: SIZE }),
        fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(SIZE - 1) }, fc.nat(0xffff)), {
          minLength: SIZE,
          maxLength: SIZE,
        }),
        fc.oneof({ weight: 9, arbitrary: fc.nat(SIZE) }, fc.nat(0xffff)),
        async (descriptors, heads, index) => {
          descriptors.forEach((raw, i) => {
            queue.writeDescriptor(i, raw);
          });
          heads.forEach((head, slot) => {
            queue.setAvailableEntry(slot, head);
          });
          queue.setAvailableIndex(index);
          queue.kick();
          settle(loop);
          if (log.length > 0) broken++;
          for (const event of log.splice(0)) expect(event.code).toMatch(codes);
          for (const { code } of device.malformed.splice(0)) expect(code).toMatch(codes);
          await restart(running);
          ram.bytes(from, text.length).set(text);
          queue.add([
            { address: from, length: text.length, writable: false },
            { address: to, length: 64, writable: true },
          ]);
          await frontEnd.until(() => queue.collect() >= 0, "the good chain");
          expect(ram.bytes(to, text.length)).toEqual(text);
        },
      ),
      { numRuns: 400 },
    );
    // The generator reaches what it is for.
    expect(broken).toBeGreaterThan(0);
    expect(device.served).toBeGreaterThan(400);
  });

  test("virtio 2.7.5.3: random indirect tables end in nothing but a rule's name", async () => {
    const running = await startPair({ features: ALL_FEATURES, queue: { size: SIZE } });
    const { queue, ram, device, loop } = running;
    const table = ram.allocate(16 * SIZE);
    const bytes = ram.bytes(table, 16 * SIZE);
    await fc.assert(
      fc.asyncProperty(
        fc.array(descriptor, { minLength: 1, maxLength: SIZE }),
        async (descriptors) => {
          descriptors.forEach((raw, i) => {
            writeDescriptor(bytes, i, raw);
          });
          const length = 16 * descriptors.length;
          queue.writeDescriptor(0, { address: table, length, flags: 4, next: 0 });
          queue.offer(0);
          settle(loop);
          expect(queue.collect()).toBe(0);
          for (const { code } of device.malformed.splice(0)) expect(code).toMatch(codes);
          await restart(running);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("messages", () => {
  const u32 = fc.oneof(fc.nat(3), fc.nat(0xffff_ffff));
  const u64 = fc.oneof(
    fc.nat(1 << 24).map(BigInt),
    fc.constantFrom(0n, 4096n, GIB, 1n << 63n, (1n << 64n) - 4096n),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  );
  /** Payloads made of words, so that they often mean something. */
  const payload = fc.oneof(
    fc.array(u64, { maxLength: 12 }).map((words) => {
      const bytes = Buffer.alloc(8 * words.length);
      words.forEach((word, i) => {
        bytes.writeBigUInt64LE(word, 8 * i);
      });
      return bytes;
    }),
    fc.array(u32, { maxLength: 12 }).map((words) => {
      const bytes = Buffer.alloc(4 * words.length);
      words.forEach((word, i) => {
        bytes.writeUInt32LE(word, 4 * i);
      });
      return bytes;
    }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  );
  const request = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...Object.values(VU)) },
    { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
  );
  const valid = fc.record({
    bytes: fc
      .tuple(request, payload, fc.constantFrom(0, 8))
      .map(([number, body, flags]) => message(number, body, flags)),
    descriptors: fc.nat(3),
  });
  const garbage = fc.record({
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(request, u32, u32).map(([number, flags, size]) => header(number, flags, size)),
    ),
    descriptors: fc.nat(3),
  });

  /** Sends everything, and the back-end works in between; stops where it hangs up. */
  function sendAll(
    { frontEnd, queue, loop }: Pick<Running, "frontEnd" | "queue" | "loop">,
    messages: readonly { readonly bytes: Buffer; readonly descriptors: number }[],
  ): void {
    const { passed } = queue.errorNotifier;
    const region = queue.ram.region(0).fd;
    for (const { bytes, descriptors } of messages) {
      try {
        frontEnd.sendBytes(bytes, [region, passed, passed].slice(0, descriptors));
      } catch (error) {
        if (!(error instanceof Error) || !/EPIPE|ECONNRESET/.test(error.message)) throw error;
        return;
      }
      settle(loop);
      queue.kick();
    }
  }

  test.each([
    ["of valid headers with random payloads", valid, 250],
    ["of garbage", garbage, 100],
  ])(
    "vhost-user: random messages %s never end the process, and a fresh connection is served",
    async (_name, arbitrary, numRuns) => {
      const loop = closing(patientLoop());
      const bystander = await startPair({ loop });
      const before = readdirSync("/proc/self/fd").length;
      await fc.assert(
        fc.asyncProperty(
          fc.array(arbitrary, { minLength: 1, maxLength: 12 }),
          fc.boolean(),
          async (messages, negotiated) => {
            const pair = negotiated
              ? await startPair({ loop })
              : { ...connectPair({}, loop), queue: new DriverQueue(bystander.ram, { size: 2 }) };
            sendAll(pair, messages);
            pair.frontEnd.close();
            settle(loop);
            expect(pair.device.closed).toBe(true);
            pair.queue.close();
          },
        ),
        { numRuns },
      );
      expect(await echo(bystander, bystander.queue, text)).toEqual(text);
      const fresh = await startPair({ loop });
      expect(await echo(fresh, fresh.queue, text)).toEqual(text);
      closeAll();
      expect(readdirSync("/proc/self/fd").length).toBeLessThan(before);
    },
  );
});
