import { afterEach, describe, expect, test } from "vitest";
import { DriverQueue } from "../support/fake-driver.js";
import type { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import {
  closeAll,
  closing,
  connectPair,
  echo,
  type Running,
  settle,
  startPair,
} from "../support/in-process.js";
import {
  ALL_FEATURES,
  qemuConnect,
  qemuStart,
  qemuStop,
  startRing,
  umlConnect,
  umlStart,
  umlStop,
} from "../support/negotiations.js";
import { socketNotifier } from "../support/notifier.js";
import {
  config,
  F_EVENT_IDX,
  F_INDIRECT,
  F_PROTOCOL_FEATURES,
  F_VERSION_1,
  NEED_REPLY,
  P_CONFIG,
  P_INBAND_NOTIFICATIONS,
  P_REPLY_ACK,
  u64,
  VU,
} from "../support/vhost-user-wire.js";

afterEach(closeAll);

const text = Buffer.from("the answer is the question");

describe("whole negotiations", () => {
  test("vhost-user: QEMU's, a driver that starts, stops and starts again", async () => {
    const { frontEnd, device } = connectPair({ features: 1n });
    const ram = closing(
      new GuestRam([
        { guestAddress: 0n, size: 2n * MIB },
        { guestAddress: 1n << 32n, size: 2n * MIB },
      ]),
    );
    const queues = [0, 1].map(() => closing(new DriverQueue(ram, { eventIndex: true })));
    const offer = await qemuConnect(frontEnd, queues);
    expect(offer.features & ALL_FEATURES).toBe(ALL_FEATURES);
    expect(offer.queueCount).toBe(2);
    expect(offer.memorySlots).toBeGreaterThanOrEqual(8);
    let base = 0;
    for (let round = 0; round < 3; round++) {
      await qemuStart(frontEnd, ram, queues, { features: ALL_FEATURES, base });
      expect(device.resets).toBe(round);
      for (const queue of queues) expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
      const bases = await qemuStop(frontEnd, queues);
      expect(bases).toEqual([base + 1, base + 1]);
      for (const region of ram.regions) expect(await frontEnd.removeRegion(region)).toBe(0n);
      base++;
    }
  });

  test.each([
    ["with REPLY_ACK", true],
    ["without REPLY_ACK", false],
  ])("vhost-user: user-mode-linux's, %s", async (_name, replyAck) => {
    const { frontEnd, device } = connectPair();
    const ram = closing(
      // One region, far into its file.
      new GuestRam([{ guestAddress: 0n, size: 4n * MIB, fileOffset: 48n * MIB }]),
    );
    const queues = [0, 1].map(() =>
      closing(new DriverQueue(ram, { size: 256, call: socketNotifier() })),
    );
    const offer = await umlConnect(frontEnd, replyAck);
    expect(offer.features & F_PROTOCOL_FEATURES).not.toBe(0n);
    // In-band notifications make each kick wait for an answer: they are not offered.
    expect(offer.protocolFeatures & P_INBAND_NOTIFICATIONS).toBe(0n);
    await umlStart(frontEnd, ram, queues);
    for (const queue of queues) {
      queue.calls();
      expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
      expect(queue.calls()).toBeGreaterThan(0);
    }
    await umlStop(frontEnd, queues);
    const served = device.served;
    for (const queue of queues) queue.kick();
    await frontEnd.barrier();
    expect(device.served).toBe(served);
  });

  test("vhost-user: a front-end without protocol features needs no SET_VRING_ENABLE", async () => {
    const { frontEnd } = connectPair();
    const ram = closing(new GuestRam());
    const queue = closing(new DriverQueue(ram));
    frontEnd.send(VU.SET_OWNER);
    await frontEnd.ask(VU.GET_FEATURES);
    frontEnd.send(VU.SET_FEATURES, u64(F_VERSION_1));
    await frontEnd.setMemoryTable(ram);
    await startRing(frontEnd, 0, queue);
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, 0, queue.callNotifier.passed);
    expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
  });

  test("vhost-user: with protocol features, a ring that is not enabled is not processed", async () => {
    const running = await startPair();
    const { frontEnd, queue, loop } = running;
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 0);
    const address = running.ram.allocate(8);
    queue.add([{ address, length: 8, writable: false }]);
    settle(loop);
    expect(queue.collect()).toBe(-1);
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 1);
    settle(loop);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
  });

  test("vhost-user: a driver without VERSION_1, indirect and event index is served", async () => {
    const running = await startPair({ features: 0n });
    expect(await echo(running, running.queue, text)).toEqual(text);
  });
});

describe("features", () => {
  test("vhost-user GET_FEATURES: the device's own and the transport's, and nothing that isn't implemented", async () => {
    const { frontEnd } = connectPair({ features: 5n });
    expect(await frontEnd.askU64(VU.GET_FEATURES)).toBe(
      5n | F_INDIRECT | F_EVENT_IDX | F_PROTOCOL_FEATURES | F_VERSION_1,
    );
  });

  test.each([
    ["SET_FEATURES", VU.SET_FEATURES, 1n << 33n],
    ["SET_FEATURES", VU.SET_FEATURES, 1n << 34n],
    ["SET_FEATURES", VU.SET_FEATURES, 2n],
    ["SET_PROTOCOL_FEATURES", VU.SET_PROTOCOL_FEATURES, P_INBAND_NOTIFICATIONS],
    ["SET_PROTOCOL_FEATURES", VU.SET_PROTOCOL_FEATURES, 1n << 63n],
  ])(
    "vhost-user %s: a bit that was not offered is refused (%i, 0x%x)",
    async (_name, request, bits) => {
      const { frontEnd } = await startPair({ features: F_VERSION_1 });
      expect(await frontEnd.tell(request, u64(bits))).not.toBe(0n);
      // What was chosen before still holds.
      frontEnd.send(VU.SET_OWNER, undefined, [], NEED_REPLY);
      if (frontEnd.hasReplyAck) expect((await frontEnd.receive()).request).toBe(VU.SET_OWNER);
      await frontEnd.barrier();
    },
  );
});

describe("REPLY_ACK", () => {
  test("vhost-user: the answer is a u64 0 with exactly the version and the reply flag", async () => {
    const { frontEnd } = connectPair();
    // The message that negotiates it is the first that is answered.
    frontEnd.send(VU.SET_PROTOCOL_FEATURES, u64(P_REPLY_ACK), [], NEED_REPLY);
    const reply = await frontEnd.receive();
    expect(reply).toEqual({ request: VU.SET_PROTOCOL_FEATURES, flags: 5, payload: u64(0n) });
  });

  test("vhost-user: without it, need_reply is not answered", async () => {
    const { frontEnd } = connectPair();
    frontEnd.send(VU.SET_OWNER, undefined, [], NEED_REPLY);
    frontEnd.send(VU.GET_FEATURES);
    expect((await frontEnd.receive()).request).toBe(VU.GET_FEATURES);
  });

  test("vhost-user: with it, a message without need_reply is not answered", async () => {
    const { frontEnd } = await startPair();
    frontEnd.send(VU.SET_OWNER);
    frontEnd.send(VU.SET_VRING_NUM, u64(0xffff_ffff_ffffn)); // and an error isn't either
    frontEnd.send(VU.GET_FEATURES);
    expect((await frontEnd.receive()).request).toBe(VU.GET_FEATURES);
  });

  test("vhost-user: a message with a reply of its own is answered once, need_reply or not", async () => {
    const { frontEnd } = await startPair();
    frontEnd.send(VU.GET_QUEUE_NUM, undefined, [], NEED_REPLY);
    frontEnd.send(VU.GET_FEATURES, undefined, [], NEED_REPLY);
    const first = await frontEnd.receive();
    expect([first.request, first.flags, first.payload]).toEqual([VU.GET_QUEUE_NUM, 5, u64(2n)]);
    expect((await frontEnd.receive()).request).toBe(VU.GET_FEATURES);
  });

  test("vhost-user: an unknown message is answered with an error, and the connection stays", async () => {
    const running = await startPair();
    const { frontEnd, queue, log } = running;
    for (const request of [0, 6, 7, 19, 22, 33, 35, 41, 42, 43, 44, 999, 0xffff_ffff]) {
      expect(await frontEnd.tell(request, Buffer.alloc(64))).not.toBe(0n);
    }
    expect(log.every((event) => event.code === "UNSUPPORTED")).toBe(true);
    expect(await echo(running, queue, text)).toEqual(text);
  });
});

describe("config space", () => {
  const space = Uint8Array.of(10, 20, 30, 40, 50, 60, 70, 80);

  test("vhost-user GET_CONFIG: every size and offset, zeros behind the end, the request's sizes in the reply", async () => {
    const { frontEnd } = connectPair({ config: space });
    for (const [offset, size] of [
      [0, 1],
      [0, 4],
      [0, 8],
      [3, 2],
      [6, 4],
      [0, 256],
      [8, 4],
      [256, 1],
      [0, 0],
    ] as const) {
      const reply = await frontEnd.ask(VU.GET_CONFIG, config(offset, size));
      const expected = Buffer.alloc(size);
      expected.set(space.subarray(offset, offset + size));
      expect(reply).toEqual(config(offset, size, expected));
    }
  });

  test.each([
    [0, 257],
    [257, 1],
    [0xffff_ffff, 1],
    [0, 0xffff_ffff],
  ])(
    "vhost-user GET_CONFIG: at %i, %i bytes can't be and are answered with an empty payload",
    async (offset, size) => {
      const { frontEnd } = connectPair();
      expect(await frontEnd.ask(VU.GET_CONFIG, config(offset, size, Buffer.alloc(0)))).toHaveLength(
        0,
      );
      expect(await frontEnd.ask(VU.GET_CONFIG, config(0, 4))).toHaveLength(16);
    },
  );

  test("vhost-user SET_CONFIG: the device gets the bytes", async () => {
    const { frontEnd, device } = await startPair();
    const bytes = Buffer.of(1, 2, 3, 4);
    await frontEnd.must(VU.SET_CONFIG, config(4, 4, bytes));
    expect(device.configWrites).toEqual([{ offset: 4, bytes }]);
  });

  test("vhost-user SET_CONFIG: fewer bytes than it names are refused", async () => {
    const { frontEnd, device } = await startPair();
    expect(await frontEnd.tell(VU.SET_CONFIG, config(0, 4, Buffer.of(1)))).not.toBe(0n);
    expect(device.configWrites).toEqual([]);
  });

  test("vhost-user CONFIG_CHANGE_MSG: goes over the back-end's channel and asks for no reply", async () => {
    const { frontEnd, session } = await startPair();
    expect(session.notifyConfigChange()).toBe(false);
    expect(await frontEnd.openChannel()).toBe(0n);
    expect(session.notifyConfigChange()).toBe(true);
    expect(frontEnd.channelMessage()).toEqual({ request: 2, flags: 1, payload: Buffer.alloc(0) });
    expect(frontEnd.channelMessage()).toBeUndefined();
  });

  test("vhost-user CONFIG_CHANGE_MSG: is sent only where CONFIG was negotiated", async () => {
    const { frontEnd, session } = connectPair();
    const queue = closing(new DriverQueue(closing(new GuestRam())));
    await qemuConnect(frontEnd, [queue], ~P_CONFIG);
    await frontEnd.openChannel();
    expect(session.notifyConfigChange()).toBe(false);
    expect(frontEnd.channelMessage()).toBeUndefined();
  });

  test("vhost-user CONFIG_CHANGE_MSG: a front-end that doesn't read its channel, or has closed it, is no error", async () => {
    const running = await startPair();
    const { frontEnd, session, queue } = running;
    await frontEnd.openChannel();
    let sent = 0;
    while (session.notifyConfigChange()) sent++;
    expect(sent).toBeGreaterThan(10);
    expect(await echo(running, queue, text)).toEqual(text);
    await frontEnd.openChannel(); // the old one is closed
    expect(session.notifyConfigChange()).toBe(true);
  });

  test("vhost-user SET_BACKEND_REQ_FD: without a descriptor it is refused", async () => {
    const { frontEnd } = await startPair();
    expect(await frontEnd.tell(VU.SET_BACKEND_REQ_FD)).not.toBe(0n);
  });
});

describe("status and reset", () => {
  test("vhost-user GET_STATUS: what SET_STATUS set", async () => {
    const { frontEnd, device } = await startPair();
    expect(await frontEnd.askU64(VU.GET_STATUS)).toBe(8n);
    await frontEnd.must(VU.SET_STATUS, u64(0x8fn));
    expect(await frontEnd.askU64(VU.GET_STATUS)).toBe(0x8fn);
    const resets = device.resets;
    await frontEnd.must(VU.SET_STATUS, u64(0n));
    expect(await frontEnd.askU64(VU.GET_STATUS)).toBe(0n);
    expect(device.resets).toBe(resets + 1);
  });

  const readsConfig = (frontEnd: FakeFrontEnd) => frontEnd.ask(VU.GET_CONFIG, config(0, 4));
  const writesConfig = (frontEnd: FakeFrontEnd) => frontEnd.must(VU.SET_CONFIG, config(0, 4));

  test.each([
    ["reads", readsConfig],
    ["writes", writesConfig],
  ] as const)(
    "vhost-user: a driver that %s the configuration space while no ring runs has reset the device, though nobody said so",
    async (_, access) => {
      const { frontEnd, device } = await startPair();
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 0);
      await access(frontEnd);
      expect(device.resets).toBe(0);
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, 1, 0);
      expect(device.resets).toBe(0);
      await access(frontEnd);
      expect(device.resets).toBe(1);
      // No ring was started since.
      await frontEnd.must(VU.RESET_OWNER);
      await access(frontEnd);
      expect(device.resets).toBe(1);
    },
  );

  test("vhost-user: a machine that is paused and goes on doesn't reset the device", async () => {
    const running = await startPair();
    const { frontEnd, device, queues, queue } = running;
    const [base] = await qemuStop(frontEnd, queues);
    for (const [index, one] of queues.entries()) {
      await startRing(frontEnd, index, one, base);
      await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, index, one.callNotifier.passed);
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 1);
    }
    await readsConfig(frontEnd);
    expect(await echo(running, queue, text)).toEqual(text);
    expect(device.resets).toBe(0);
  });

  test("vhost-user: a reset that was told doesn't count a second time", async () => {
    const { frontEnd, device } = await startPair();
    await frontEnd.must(VU.SET_STATUS, u64(0n));
    await readsConfig(frontEnd);
    expect(device.resets).toBe(1);
  });

  /** Both queues take nothing any more. */
  async function expectStopped(running: Running): Promise<void> {
    const { device, queues, ram, frontEnd, loop } = running;
    const served = device.served;
    for (const queue of queues) {
      queue.add([{ address: ram.allocate(8), length: 8, writable: false }]);
    }
    await frontEnd.barrier();
    settle(loop);
    expect(device.served).toBe(served);
  }

  test("vhost-user RESET_DEVICE: rings are stopped and disabled, the device is reset, memory stays", async () => {
    const running = await startPair();
    const { frontEnd, device, queue } = running;
    await frontEnd.must(VU.RESET_DEVICE);
    expect(device.resets).toBe(1);
    expect(await frontEnd.askU64(VU.GET_STATUS)).toBe(0n);
    await expectStopped(running);
    queue.restart();
    await startRing(frontEnd, 0, queue);
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 1);
    expect(await echo(running, queue, text)).toEqual(text);
  });

  test("vhost-user RESET_OWNER: disables the rings and keeps everything else", async () => {
    const running = await startPair();
    const { frontEnd, queue, device } = running;
    await frontEnd.must(VU.RESET_OWNER);
    await expectStopped(running);
    expect(device.resets).toBe(0);
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 1);
    await frontEnd.until(() => queue.collect() >= 0, "the chain that waited");
  });
});
