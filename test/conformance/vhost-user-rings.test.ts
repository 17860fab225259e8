import { execFileSync } from "node:child_process";
import { closeSync, openSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import {
  closeAll,
  closing,
  echo,
  type Running,
  settle,
  startPair,
  strictLoop,
} from "../support/in-process.js";
import { startRing } from "../support/negotiations.js";
import { semaphoreNotifier, socketNotifier } from "../support/notifier.js";
import { F_VERSION_1, message, NO_FD, u64, VU, vringState } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const text = Buffer.from("text");

/** Offers `count` chains that the device keeps. */
function hold({ device, queue, ram, loop }: Running, count: number): void {
  device.holds = true;
  for (let i = 0; i < count; i++) {
    queue.add([
      { address: ram.allocate(8), length: 8, writable: false },
      { address: ram.allocate(8), length: 8, writable: true },
    ]);
  }
  settle(loop);
  expect(device.held).toBe(count);
}

/** Whether a promise is settled by now. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending;
}

describe("messages that take rings away wait for what is in flight", () => {
  const waiting: [name: string, send: (running: Running) => Promise<unknown>][] = [
    ["GET_VRING_BASE", ({ frontEnd }) => frontEnd.getRingBase(0)],
    ["SET_VRING_ENABLE 0", ({ frontEnd }) => frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 0)],
    ["RESET_DEVICE", ({ frontEnd }) => frontEnd.must(VU.RESET_DEVICE)],
    ["SET_STATUS 0", ({ frontEnd }) => frontEnd.must(VU.SET_STATUS, u64(0n))],
    ["REM_MEM_REG", ({ frontEnd, ram }) => frontEnd.removeRegion(ram.region(0))],
    ["SET_VRING_ADDR", ({ frontEnd, queue }) => frontEnd.setRingAddress(0, queue)],
  ];

  test.each(waiting)("vhost-user %s: waits for chains in flight", async (_name, send) => {
    const running = await startPair();
    const { device, loop, queue } = running;
    hold(running, 3);
    const answer = send(running);
    settle(loop);
    expect(await isPending(answer)).toBe(true);
    device.complete(2);
    settle(loop);
    expect(await isPending(answer)).toBe(true);
    device.complete();
    await answer;
    expect(queue.usedIndex).toBe(3);
    expect(device.dropped).toBe(0);
  });

  test("vhost-user GET_VRING_BASE: no chain is taken while it waits, and its answer counts what was taken", async () => {
    const running = await startPair();
    const { device, loop, queue, frontEnd, ram } = running;
    hold(running, 2);
    const answer = frontEnd.getRingBase(0);
    settle(loop);
    queue.add([{ address: ram.allocate(8), length: 8, writable: false }]);
    settle(loop);
    expect(device.held).toBe(2);
    device.complete();
    expect(await answer).toBe(2);
    // The third is taken once the ring starts again where it stopped.
    device.holds = false;
    await startRing(frontEnd, 0, queue, 2);
    await frontEnd.until(() => queue.usedIndex === 3, "the third chain");
  });

  test("vhost-user: what was pushed and not published is not lost when a ring stops", async () => {
    const running = await startPair();
    const { device, queue, frontEnd } = running;
    hold(running, 2);
    device.pushWithoutPublish();
    expect(queue.usedIndex).toBe(0);
    expect(await frontEnd.getRingBase(0)).toBe(2);
    expect(queue.usedIndex).toBe(2);
  });

  test("vhost-user: the other ring goes on after the messages that stopped it for a moment", async () => {
    const running = await startPair();
    const { frontEnd, queues } = running;
    const [, other] = queues;
    if (other === undefined) throw new Error("no second queue");
    expect(await echo(running, other, text)).toEqual(text);
    await frontEnd.getRingBase(0);
    for (let i = 0; i < 3; i++) expect(await echo(running, other, text)).toEqual(text);
  });
});

describe("the connection ends with chains in flight", () => {
  test("vhost-user: everything is kept until the last chain came back, then all of it is closed", async () => {
    const running = await startPair();
    const { device, frontEnd, loop, queue, closed } = running;
    hold(running, 2);
    frontEnd.close();
    settle(loop);
    expect(device.closed).toBe(false);
    device.complete();
    expect(queue.usedIndex).toBe(2);
    expect(device.closed).toBe(true);
    expect(closed()).toBe(true);
  });

  test("vhost-user: it ends too where a message waits for the same chains", async () => {
    const running = await startPair();
    const { device, frontEnd, loop, session, closed } = running;
    hold(running, 1);
    const answer = frontEnd.getRingBase(0);
    settle(loop);
    session.close();
    device.complete();
    expect(closed()).toBe(true);
    expect(await answer).toBe(1);
    await frontEnd.ended();
  });

  test("vhost-user: a device that fails ends its connection, and what it completes later is dropped", async () => {
    const running = await startPair();
    const { device, frontEnd, loop, log, queue, closed } = running;
    hold(running, 2);
    device.failure = new Error("the device's own fault");
    queue.kick();
    settle(loop);
    expect(closed()).toBe(true);
    await frontEnd.ended();
    expect(log.map((event) => [event.level, event.code])).toEqual([["error", "INTERNAL"]]);
    // The guest's memory is unmapped: touching it would end the process.
    device.completeBlindly();
    expect(queue.usedIndex).toBe(0);
  });

  test("vhost-user: a device that fails while the connection waits to end doesn't keep it", async () => {
    const running = await startPair();
    const { device, frontEnd, loop, queue, closed } = running;
    hold(running, 1);
    frontEnd.close();
    settle(loop);
    expect(closed()).toBe(false);
    device.failure = new Error("the device's own fault");
    queue.kick();
    settle(loop);
    expect(closed()).toBe(true);
    expect(device.closed).toBe(true);
  });
});

describe("ring descriptors", () => {
  test("vhost-user SET_VRING_KICK: one without a descriptor starts the ring", async () => {
    const running = await startPair();
    const { frontEnd, queue, loop, ram } = running;
    await frontEnd.getRingBase(0);
    queue.restart();
    queue.add([{ address: ram.allocate(8), length: 8, writable: false }]);
    await startRing(frontEnd, 0, queue);
    await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0);
    settle(loop);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
  });

  test("vhost-user SET_VRING_KICK: a new descriptor replaces the old one, and what came before it is seen", async () => {
    const running = await startPair();
    const { frontEnd, queue, queues, loop, ram } = running;
    settle(loop);
    const [, other] = queues;
    if (other === undefined) throw new Error("no second queue");
    // A chain whose kick went nowhere, as between two descriptors.
    queue.stage(queue.place([{ address: ram.allocate(8), length: 8, writable: false }]));
    queue.announce();
    await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0, other.errorNotifier.passed);
    settle(loop);
    expect(queue.collect()).toBeGreaterThanOrEqual(0);
    queue.add([{ address: ram.allocate(8), length: 8, writable: false }]);
    settle(loop);
    expect(queue.collect()).toBe(-1); // the old descriptor is not listened to
  });

  test("vhost-user SET_VRING_KICK: a pipe whose writer is gone ends in silence, not in a busy loop", async () => {
    const running = await startPair();
    const { frontEnd, device, loop, queue } = running;
    const path = join(tmpdir(), `kick-${process.pid}`);
    execFileSync("mkfifo", [path]);
    const both = openSync(path, "r+");
    const reader = openSync(path, "r");
    unlinkSync(path);
    await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0, reader);
    closeSync(reader);
    settle(loop);
    closeSync(both);
    settle(loop);
    const calls = device.calls;
    settle(loop);
    expect(device.calls).toBe(calls);
    expect(await frontEnd.getRingBase(0)).toBe(0);
    await startRing(frontEnd, 0, queue);
    expect(await echo(running, queue, text)).toEqual(text);
  });

  test.each([
    ["SET_VRING_KICK", VU.SET_VRING_KICK],
    ["SET_VRING_CALL", VU.SET_VRING_CALL],
    ["SET_VRING_ERR", VU.SET_VRING_ERR],
  ])(
    "vhost-user %s: no descriptor where one was announced, and no such ring, are refused",
    async (_name, request) => {
      const running = await startPair();
      const { frontEnd, queue } = running;
      const { passed } = queue.errorNotifier;
      expect(await frontEnd.tell(request, u64(0n))).not.toBe(0n);
      expect(await frontEnd.tell(request, u64(2n), [passed])).not.toBe(0n);
      expect(await frontEnd.tell(request, u64(255n | NO_FD))).not.toBe(0n);
      expect(await frontEnd.tell(request, Buffer.alloc(4), [passed])).not.toBe(0n);
      expect(await echo(running, queue, text)).toEqual(text);
    },
  );

  test("vhost-user SET_VRING_KICK: a file that can't be waited for is refused, and nothing else", async () => {
    const running = await startPair();
    const { frontEnd, queue, ram } = running;
    expect(await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0, ram.region(0).fd)).not.toBe(0n);
    await frontEnd.setRingDescriptor(VU.SET_VRING_KICK, 0, queue.kickNotifier.passed);
    expect(await echo(running, queue, text)).toEqual(text);
  });

  test("vhost-user SET_VRING_CALL: a reader that is gone is no error", async () => {
    const running = await startPair({ features: F_VERSION_1 });
    const { frontEnd, queue, ram } = running;
    const gone = socketNotifier();
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, 0, gone.passed);
    gone.close();
    expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
  });

  test.each([
    ["SET_VRING_NUM", VU.SET_VRING_NUM],
    ["SET_VRING_BASE", VU.SET_VRING_BASE],
    ["SET_VRING_ENABLE", VU.SET_VRING_ENABLE],
  ])("vhost-user %s: a ring that isn't there is refused", async (_name, request) => {
    const { frontEnd } = await startPair();
    expect(await frontEnd.setRingState(request, 2, 1)).not.toBe(0n);
    expect(await frontEnd.setRingState(request, 0xffff_ffff, 1)).not.toBe(0n);
  });

  test("vhost-user GET_VRING_BASE: for a ring that isn't there the connection ends, because a wrong state can't be told", async () => {
    const { frontEnd } = await startPair();
    frontEnd.send(VU.GET_VRING_BASE, vringState(7, 0));
    await frontEnd.ended();
  });
});

describe("sessions on one loop", () => {
  test("a front-end that floods its kicks leaves the others their turns", async () => {
    const first = await startPair({ loop: closing(strictLoop()) });
    const second = await startPair({ loop: first.loop });
    const { queue, ram } = first;
    const head = queue.place([{ address: ram.allocate(8), length: 8, writable: false }]);
    for (let i = 0; i < 128; i++) queue.stage(head);
    queue.announce();
    const from = second.ram.allocate(8);
    second.queue.add([{ address: from, length: 8, writable: false }]);
    while (second.queue.collect() < 0) {
      queue.kick();
      first.loop.turn(0);
      expect(first.device.served).toBeLessThan(128);
    }
    // The first is served too, a turn at a time.
    settle(first.loop);
    expect(first.device.served).toBeGreaterThan(0);
  });

  test("an eventfd that never becomes empty kicks once for each time that it is signalled", async () => {
    const running = await startPair({ queueCount: 1, queue: { kick: semaphoreNotifier() } });
    const { device, loop, queue } = running;
    settle(loop);
    const { calls } = device;
    settle(loop);
    expect(device.calls).toBe(calls);
    expect(await echo(running, queue, text)).toEqual(text);
    settle(loop);
    expect(device.calls).toBe(calls + 1);
  });

  test("a front-end that floods its socket leaves the others their turns", async () => {
    const first = await startPair({ loop: closing(strictLoop()) });
    const second = await startPair({ loop: first.loop });
    const count = 200;
    first.frontEnd.sendBytes(
      Buffer.concat(Array.from({ length: count }, () => message(VU.GET_FEATURES))),
    );
    second.queue.add([{ address: second.ram.allocate(8), length: 8, writable: false }]);
    let early = 0;
    while (second.queue.collect() < 0) {
      first.loop.turn(0);
      early += first.frontEnd.waitingMessages();
      expect(early).toBeLessThan(count / 2);
    }
    // The others follow.
    for (let i = early; i < count; i++) await first.frontEnd.receive();
    await first.frontEnd.barrier();
  });

  test("a malformed chain in one session disturbs no other", async () => {
    const first = await startPair();
    const second = await startPair({ loop: first.loop });
    const { queue } = first;
    queue.setAvailableIndex(5000);
    queue.kick();
    settle(first.loop);
    expect(queue.errors()).toBe(1);
    expect(second.queue.errors()).toBe(0);
    expect(await echo(second, second.queue, text)).toEqual(text);
    first.frontEnd.sendBytes(Buffer.alloc(12, 0xff));
    await first.frontEnd.ended();
    expect(await echo(second, second.queue, text)).toEqual(text);
  });
});
