import { closeSync, readdirSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { createMemfd } from "../../src/os/index.js";
import { MIB } from "../support/guest-ram.js";
import { closeAll, connectPair, echo, settle, startPair } from "../support/in-process.js";
import { rawSend } from "../support/raw-send.js";
import {
  header,
  memoryTable,
  message,
  NEED_REPLY,
  REPLY,
  u64,
  VU,
  vringState,
} from "../support/vhost-user-wire.js";

afterEach(closeAll);

const text = Buffer.from("text");

/** How many descriptors this process has open. */
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

describe("headers", () => {
  test.each([
    ["of version 0", header(VU.GET_FEATURES, 0, 0)],
    ["of version 2", header(VU.GET_FEATURES, 2, 0)],
    ["that announces a gibibyte", header(VU.SET_CONFIG, 1, 1 << 30)],
    ["that announces 4 GiB", header(VU.SET_CONFIG, 1, 0xffff_ffff)],
    ["of ones", Buffer.alloc(12, 0xff)],
    ["of zeros", Buffer.alloc(12)],
  ])("vhost-user: a header %s ends the connection", async (_name, bytes) => {
    const { frontEnd, log, device, closed } = connectPair();
    frontEnd.sendBytes(bytes);
    await frontEnd.ended();
    expect(log.map((event) => [event.level, event.code])).toEqual([["error", "BAD_HEADER"]]);
    expect(device.closed).toBe(true);
    expect(closed()).toBe(true);
  });

  test("vhost-user: a message with the reply flag or unknown flags is a message", async () => {
    const { frontEnd } = connectPair();
    frontEnd.sendBytes(header(VU.GET_FEATURES, 1 | REPLY | 0x7fff_fff0, 0));
    expect((await frontEnd.receive()).flags).toBe(5);
  });
});

describe("the stream", () => {
  test("vhost-user: messages cut into single bytes are the same messages", async () => {
    const running = await startPair();
    const { frontEnd, queue, loop } = running;
    const bytes = Buffer.concat([
      message(VU.SET_VRING_ENABLE, vringState(0, 0), NEED_REPLY),
      message(VU.SET_VRING_ENABLE, vringState(0, 1), NEED_REPLY),
      message(VU.GET_FEATURES),
    ]);
    for (const byte of bytes) {
      frontEnd.sendBytes(Uint8Array.of(byte));
      settle(loop);
    }
    const acknowledged = frontEnd.hasReplyAck ? [VU.SET_VRING_ENABLE, VU.SET_VRING_ENABLE] : [];
    for (const request of [...acknowledged, VU.GET_FEATURES]) {
      expect((await frontEnd.receive()).request).toBe(request);
    }
    expect(await echo(running, queue, text)).toEqual(text);
  });

  test("vhost-user: many messages in one send are all answered, in order", async () => {
    const { frontEnd } = connectPair();
    const requests = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0 ? VU.GET_FEATURES : VU.GET_QUEUE_NUM,
    );
    frontEnd.sendBytes(Buffer.concat(requests.map((request) => message(request))));
    for (const request of requests) expect((await frontEnd.receive()).request).toBe(request);
  });

  test("vhost-user: bytes behind a message's payload are ignored", async () => {
    const { frontEnd } = await startPair();
    const payload = Buffer.concat([vringState(0, 64), Buffer.alloc(100, 0xff)]);
    expect(await frontEnd.tell(VU.SET_VRING_NUM, payload)).toBe(0n);
  });

  test.each([
    ["SET_FEATURES", VU.SET_FEATURES, 7],
    ["SET_MEM_TABLE", VU.SET_MEM_TABLE, 7],
    ["SET_MEM_TABLE", VU.SET_MEM_TABLE, 0],
    ["ADD_MEM_REG", VU.ADD_MEM_REG, 39],
    ["SET_VRING_ADDR", VU.SET_VRING_ADDR, 39],
    ["SET_VRING_NUM", VU.SET_VRING_NUM, 4],
    ["SET_CONFIG", VU.SET_CONFIG, 11],
    ["SET_STATUS", VU.SET_STATUS, 1],
  ])(
    "vhost-user %s: a payload of %i, %i bytes is too short and refused",
    async (_name, request, bytes) => {
      const { frontEnd, log } = await startPair();
      expect(await frontEnd.tell(request, Buffer.alloc(bytes))).not.toBe(0n);
      expect(log.map((event) => event.code)).toEqual(["BAD_PAYLOAD"]);
    },
  );

  test("vhost-user SET_MEM_TABLE: more regions than the payload holds are refused", async () => {
    const { frontEnd, ram } = await startPair();
    const table = memoryTable(ram.regions);
    for (const count of [2, 128, 0xffff_ffff]) {
      table.writeUInt32LE(count, 0);
      expect(await frontEnd.tell(VU.SET_MEM_TABLE, table, [ram.region(0).fd])).not.toBe(0n);
    }
  });

  test("vhost-user: a front-end that never reads its replies is disconnected", async () => {
    const { frontEnd, loop, log, closed } = connectPair();
    const many = Buffer.concat(Array.from({ length: 100 }, () => message(VU.GET_FEATURES)));
    for (let i = 0; i < 1000 && !closed(); i++) {
      frontEnd.sendBytes(many);
      for (let turn = 0; turn < 10; turn++) loop.turn(0);
    }
    expect(closed()).toBe(true);
    expect(log).toHaveLength(1);
  });
});

describe("no descriptor is lost", () => {
  test("vhost-user: whatever message descriptors come with, they are closed with the connection", async () => {
    const idle = connectPair();
    const before = openDescriptors();
    idle.frontEnd.close();
    settle(idle.loop);
    const ofConnection = before - openDescriptors();
    // Both ends of the socket pair.
    expect(ofConnection).toBeGreaterThanOrEqual(2);

    const { frontEnd, loop, device } = connectPair();
    const withBoth = openDescriptors();
    const fds = Array.from({ length: 4 }, (_, i) => createMemfd(`spare-${i}`));
    const withSpares = openDescriptors();
    const requests = Object.values(VU).filter((request) => request !== VU.GET_VRING_BASE);
    for (const request of [...requests, 35, 999]) {
      for (const count of [0, 1, 4]) {
        const payload = Buffer.concat([u64(0n), Buffer.alloc(64)]);
        frontEnd.send(request, payload, fds.slice(0, count));
        settle(loop);
      }
    }
    // The ring's descriptors and the channel are still held; nothing else is.
    expect(openDescriptors()).toBeLessThanOrEqual(withSpares + 4);
    frontEnd.close();
    settle(loop);
    expect(device.closed).toBe(true);
    for (const fd of fds) closeSync(fd);
    expect(openDescriptors()).toBe(withBoth - ofConnection);
  });

  test("vhost-user: a connection that ran closes everything, in the middle of a message too", async () => {
    const before = openDescriptors();
    for (let i = 0; i < 5; i++) {
      const { frontEnd, ram, device, loop } = await startPair();
      await frontEnd.openChannel();
      await frontEnd.openChannel();
      // Half a message, with a descriptor.
      frontEnd.sendBytes(message(VU.ADD_MEM_REG, Buffer.alloc(40)).subarray(0, 20), [
        ram.region(0).fd,
      ]);
      settle(loop);
      frontEnd.close();
      settle(loop);
      expect(device.closed).toBe(true);
      closeAll();
    }
    expect(openDescriptors()).toBe(before);
  });

  test("vhost-user: more descriptors than any message carries end the connection", async () => {
    const { frontEnd, queues, log, ram } = await startPair();
    const before = openDescriptors();
    const fds = Array.from({ length: 17 }, () => queues[0]?.errorNotifier.passed ?? -1);
    rawSend(frontEnd.fd, message(VU.SET_MEM_TABLE, memoryTable(ram.regions)), fds);
    await frontEnd.ended();
    expect(log.map(({ level, code }) => [level, code])).toEqual([["error", "BAD_DESCRIPTORS"]]);
    expect(openDescriptors()).toBeLessThanOrEqual(before);
  });

  test("vhost-user: descriptors that come with another byte than a message's first are closed at once", async () => {
    const { frontEnd, loop, queues } = await startPair();
    const fds = Array.from({ length: 16 }, () => queues[0]?.errorNotifier.passed ?? -1);
    // A byte at a time, each with 16 descriptors: an open message could collect thousands.
    const bytes = message(VU.SET_CONFIG, Buffer.alloc(100));
    frontEnd.sendBytes(bytes.subarray(0, 1), fds);
    settle(loop);
    const before = openDescriptors();
    for (const byte of bytes.subarray(1, -1)) {
      frontEnd.sendBytes(Uint8Array.of(byte), fds);
      settle(loop);
      expect(openDescriptors()).toBe(before);
    }
    frontEnd.sendBytes(bytes.subarray(-1), fds);
    settle(loop);
    expect(openDescriptors()).toBe(before - fds.length);
    await frontEnd.barrier();
  });

  test("vhost-user SET_MEM_TABLE: more or fewer descriptors than regions are refused and closed", async () => {
    const { frontEnd, ram } = await startPair({
      ram: [
        { guestAddress: 0n, size: MIB },
        { guestAddress: MIB, size: MIB },
      ],
    });
    const before = openDescriptors();
    const { fd } = ram.region(0);
    for (const count of [0, 1, 3, 8]) {
      const fds = Array.from({ length: count }, () => fd);
      expect(await frontEnd.tell(VU.SET_MEM_TABLE, memoryTable(ram.regions), fds)).not.toBe(0n);
    }
    // Of each region that there was, too.
    expect(openDescriptors()).toBe(before - ram.regions.length);
    expect(await frontEnd.setMemoryTable(ram)).toBe(0n);
    expect(openDescriptors()).toBe(before);
  });
});
