import { fstatSync, ftruncateSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { closeDescriptor, createMemfd, Mapping, receive } from "../../src/os/index.js";
import {
  closeAll,
  closing,
  connectPair,
  type Running,
  settle,
  startPair,
} from "../support/in-process.js";
import { qemuConnect, qemuStart } from "../support/negotiations.js";
import { inflight, message, P_INFLIGHT_SHMFD, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

/** GET_INFLIGHT_FD: the reply's payload and descriptor. */
function getInflight({ frontEnd, loop }: Running, queues: number, queueSize: number) {
  frontEnd.send(VU.GET_INFLIGHT_FD, inflight(queues, queueSize));
  settle(loop);
  const reply = receive(frontEnd.fd, 4096);
  const [fd] = reply?.descriptors ?? [];
  if (reply === undefined || fd === undefined) throw new Error("no descriptor came");
  closing({
    close: () => {
      closeDescriptor(fd);
    },
  });
  const bytes = Buffer.from(reply.bytes);
  expect(bytes.subarray(0, 12)).toEqual(
    message(VU.GET_INFLIGHT_FD, bytes.subarray(12), 4).subarray(0, 12),
  );
  return { payload: bytes.subarray(12), fd, size: bytes.readBigUInt64LE(12) };
}

/** The flag of each head that is in flight in the first queue, as the specification lays it out. */
function inFlight(fd: number, size: bigint, queueSize: number): number[] {
  const mapping = closing(new UnmappedAtEnd(fd, size)).bytes;
  return Array.from({ length: queueSize }, (_, i) => i).filter((i) => mapping[16 + 16 * i] === 1);
}

class UnmappedAtEnd {
  readonly #mapping: Mapping;
  readonly bytes: Uint8Array;
  constructor(fd: number, size: bigint) {
    this.#mapping = new Mapping(fd, 0n, size);
    this.bytes = new Uint8Array(this.#mapping.view(0n, Number(size)));
  }
  close(): void {
    this.#mapping.unmap();
  }
}

function offer({ ram, queue }: Running, text: string): number {
  const address = ram.allocate(16);
  ram.bytes(address, 16).write(text);
  return queue.add([
    { address, length: text.length, writable: false },
    { address: ram.allocate(16), length: 16, writable: true },
  ]);
}

test("vhost-user, Inflight I/O tracking: a back-end that dies leaves to the next one what was in flight", async () => {
  const first = await startPair();
  expect((await first.frontEnd.askU64(VU.GET_PROTOCOL_FEATURES)) & P_INFLIGHT_SHMFD).not.toBe(0n);
  const { queues, queue, frontEnd } = first;
  const { payload, fd, size } = getInflight(first, queues.length, queue.size);
  expect(fstatSync(fd).size).toBe(Number(size));
  expect(await frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd])).toBe(0n);

  first.device.holds = true;
  const heads = ["one", "two", "three", "four"].map((text) => offer(first, text));
  settle(first.loop);
  expect(inFlight(fd, size, queue.size)).toEqual([...heads].sort((a, b) => a - b));
  // The device gives the newest back first, and then its process is gone.
  first.device.complete(1);
  expect(queue.collect()).toBe(heads[3]);
  expect(inFlight(fd, size, queue.size)).toEqual(heads.slice(0, 3).sort((a, b) => a - b));
  offer(first, "five");

  const second = connectPair();
  second.device.keep = true;
  await qemuConnect(second.frontEnd, queues);
  expect(await second.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd])).toBe(0n);
  // Whatever the front-end believes of the ring's index.
  await qemuStart(second.frontEnd, first.ram, queues, { base: 77 });
  settle(second.loop);
  expect(second.device.requests.map(String)).toEqual(["one", "two", "three", "five"]);
  expect(inFlight(fd, size, queue.size)).toEqual([]);
  for (const head of heads.slice(0, 3)) expect(queue.collect()).toBe(head);
  expect(queue.collect()).toBeGreaterThanOrEqual(0);
  expect(queue.collect()).toBe(-1);
});

test("vhost-user, Inflight I/O tracking: a batch whose used index was written isn't in flight", async () => {
  const first = await startPair();
  const { queues, queue } = first;
  const { payload, fd, size } = getInflight(first, queues.length, queue.size);
  await first.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd]);
  const head = offer(first, "one");
  settle(first.loop);
  const { bytes } = closing(new UnmappedAtEnd(fd, size));
  // As if the back-end had died between the used index and the inflight region.
  bytes[16 + 16 * head] = 1;
  bytes[14] = 0;
  const second = connectPair();
  second.device.keep = true;
  await qemuConnect(second.frontEnd, queues);
  await second.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd]);
  await qemuStart(second.frontEnd, first.ram, queues);
  settle(second.loop);
  expect(second.device.requests).toEqual([]);
});

test("vhost-user, Inflight I/O tracking: nobody can shorten our memory, and another's that can be is told", async () => {
  const pair = await startPair();
  const { payload, fd, size } = getInflight(pair, 1, 128);
  expect(() => {
    ftruncateSync(fd, 0);
  }).toThrow(/EPERM/);
  expect(await pair.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd])).toBe(0n);
  expect(pair.log).toEqual([]);
  const unsealed = createMemfd("unsealed");
  closing({
    close: () => {
      closeDescriptor(unsealed);
    },
  });
  ftruncateSync(unsealed, Number(size));
  expect(await pair.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [unsealed])).toBe(0n);
  expect(pair.log.map(({ code }) => code)).toEqual(["UNSEALED_MEMORY"]);
});

test.each([
  ["no queue", inflight(0, 128)],
  ["more queues than there are", inflight(3, 128)],
  ["a queue larger than any", inflight(1, 40000)],
  ["half a description", inflight(1, 128).subarray(0, 12)],
])("vhost-user, Inflight I/O tracking: %s is refused", async (_, payload) => {
  const pair = await startPair();
  expect(await pair.frontEnd.tell(VU.GET_INFLIGHT_FD, payload)).toBe(1n);
  const { fd } = getInflight(pair, 1, 128);
  expect(await pair.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd])).toBe(1n);
});

test("vhost-user, Inflight I/O tracking: memory that is too short or another queue's stops the ring, not the session", async () => {
  const pair = await startPair();
  const { payload, fd } = getInflight(pair, 1, 64);
  expect(await pair.frontEnd.tell(VU.SET_INFLIGHT_FD, payload, [fd])).toBe(0n);
  expect(pair.log.map(({ code }) => code)).toContain("BAD_REGION");
  expect(await pair.frontEnd.tell(VU.SET_INFLIGHT_FD, inflight(1, 64, 1n << 40n), [fd])).toBe(1n);
  await pair.frontEnd.barrier();
});
