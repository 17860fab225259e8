import { afterEach, describe, expect, test } from "vitest";
import { AVAIL_NO_INTERRUPT } from "../support/fake-driver.js";
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
import { F_EVENT_IDX, F_INDIRECT, F_VERSION_1, u64, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const EVENTS = F_VERSION_1 | F_EVENT_IDX;

/** A chain that can be offered again and again. */
function place({ ram, queue }: Running): number {
  const address = ram.allocate(16);
  return queue.place([
    { address, length: 8, writable: false },
    { address: address + 8n, length: 8, writable: true },
  ]);
}

function collectAll({ loop, queue }: Running): number {
  settle(loop);
  let count = 0;
  while (queue.collect() >= 0) count++;
  return count;
}

describe("ring indexes", () => {
  test.each([
    ["without event index", F_VERSION_1],
    ["with event index", EVENTS],
  ])("virtio 2.7: both indexes wrap at 65536, %s", async (_name, features) => {
    const running = await startPair({ features, queue: { size: 4, startIndex: 65530 } });
    for (let i = 0; i < 12; i++) {
      const text = Buffer.from(`request ${i}`);
      expect(await echo(running, running.queue, text)).toEqual(text);
    }
    expect(running.queue.usedIndex).toBe(6);
    expect(await running.frontEnd.getRingBase(0)).toBe(6);
  });

  test("virtio 2.7: a whole queue offered across the wrap is taken", async () => {
    const running = await startPair({ queue: { size: 8, startIndex: 65534 } });
    const heads = [place(running), place(running), place(running), place(running)];
    for (const head of heads) running.queue.stage(head);
    if (running.queue.announce()) running.queue.kick();
    expect(collectAll(running)).toBe(4);
  });

  test("virtio 2.7.8: chains may come back in another order than they were offered", async () => {
    const running = await startPair();
    const { queue, device, loop } = running;
    device.holds = true;
    const heads = [place(running), place(running), place(running)];
    for (const head of heads) queue.offer(head);
    settle(loop);
    device.complete();
    expect([queue.collect(), queue.collect(), queue.collect(), queue.collect()]).toEqual([
      ...heads.reverse(),
      -1,
    ]);
  });

  test("virtio 2.7: a queue of 1 and a queue of 32768 are served", async () => {
    for (const size of [1, 32768]) {
      const running = await startPair({ queue: { size }, features: F_VERSION_1 | F_INDIRECT });
      const from = running.ram.allocate(16);
      running.ram.bytes(from, 16).write("x");
      running.queue.add(
        [
          { address: from, length: 1, writable: false },
          ...(size === 1 ? [] : [{ address: from + 8n, length: 8, writable: true }]),
        ],
        { indirectFrom: 0 },
      );
      expect(collectAll(running)).toBe(1);
    }
  });
});

describe("a broken ring stops its queue until it is reset", () => {
  const breaks: [rule: string, code: string, (running: Running) => void][] = [
    [
      "2.7.6: an available index that jumped by more than the queue's size",
      "INDEX_JUMPED",
      ({ queue }) => {
        queue.setAvailableIndex(queue.nextAvailable + queue.size + 1);
      },
    ],
    [
      "2.7.6: an available index that went backwards",
      "INDEX_JUMPED",
      ({ queue }) => {
        queue.setAvailableIndex((queue.nextAvailable - 1) & 0xffff);
      },
    ],
    [
      "2.7.6: a head beyond the descriptor table",
      "HEAD_OUT_OF_RANGE",
      ({ queue }) => {
        queue.setAvailableEntry(queue.nextAvailable & (queue.size - 1), queue.size);
        queue.setAvailableIndex((queue.nextAvailable + 1) & 0xffff);
      },
    ],
  ];

  test.each(breaks)("virtio %s (%s)", async (_rule, code, breakRing) => {
    const running = await startPair({ queue: { size: 16 } });
    const { queue, queues, frontEnd, ram, log, loop, device } = running;
    const text = Buffer.from("fine");
    expect(await echo(running, queue, text)).toEqual(text);
    breakRing(running);
    queue.kick();
    settle(loop);
    expect(log.map((event) => [event.level, event.code])).toEqual([["error", code]]);
    expect(queue.errors()).toBe(1);

    // Further kicks do nothing, and the other queue is served.
    const calls = device.calls;
    queue.kick();
    settle(loop);
    expect(device.calls).toBe(calls);
    expect(queue.usedIndex).toBe(1);
    const [, other] = queues;
    if (other === undefined) throw new Error("no second queue");
    expect(await echo(running, other, text)).toEqual(text);

    // A reset of the device revives it.
    await frontEnd.must(VU.SET_STATUS, u64(0n));
    queue.restart();
    await startRing(frontEnd, 0, queue);
    await frontEnd.setRingState(VU.SET_VRING_ENABLE, 0, 1);
    expect(await echo({ frontEnd, ram }, queue, text)).toEqual(text);
    expect(log).toHaveLength(1);
  });

  test("vhost-user: GET_VRING_BASE revives a broken ring too", async () => {
    const running = await startPair({ queue: { size: 16 } });
    const { queue, frontEnd, loop } = running;
    queue.setAvailableIndex(1000);
    queue.kick();
    settle(loop);
    expect(queue.errors()).toBe(1);
    expect(await frontEnd.getRingBase(0)).toBe(0);
    queue.restart();
    await startRing(frontEnd, 0, queue);
    expect(await echo(running, queue, Buffer.from("again"))).toEqual(Buffer.from("again"));
  });

  test("virtio 2.7.6: chains taken before the ring broke still come back", async () => {
    const running = await startPair({ queue: { size: 16 } });
    const { queue, device, loop } = running;
    device.holds = true;
    const head = place(running);
    queue.offer(head);
    settle(loop);
    queue.setAvailableIndex(1000);
    queue.kick();
    settle(loop);
    expect(queue.errors()).toBe(1);
    device.complete();
    expect(queue.collect()).toBe(head);
  });
});

/** Has what was used until now forgotten, so that the calls that come are a test's own. */
function settled(running: Running): void {
  collectAll(running);
  running.queue.calls();
}

/** How often the driver is called for one chain, which the device uses. */
function callsForOne(running: Running): number {
  running.queue.offer(place(running));
  expect(collectAll(running)).toBe(1);
  return running.queue.calls();
}

describe("the device calls the driver", () => {
  test("virtio 2.7.7: for what it used, where the driver didn't turn it off", async () => {
    const running = await startPair({ features: F_VERSION_1 });
    settled(running);
    expect(callsForOne(running)).toBe(1);
  });

  test("virtio 2.7.7: not where the driver set NO_INTERRUPT", async () => {
    const running = await startPair({ features: F_VERSION_1 });
    const { queue } = running;
    settled(running);
    queue.setAvailableFlags(AVAIL_NO_INTERRUPT);
    expect(callsForOne(running)).toBe(0);
  });

  test("virtio 2.7.7.2: with event index, only when used_event is passed", async () => {
    const running = await startPair({ features: EVENTS });
    const { queue } = running;
    const head = place(running);
    queue.wantsCalls = false;
    settled(running);
    queue.setUsedEvent(2); // call me when the third is used
    const calls: number[] = [];
    for (let i = 0; i < 5; i++) {
      queue.offer(head);
      expect(collectAll(running)).toBe(1);
      calls.push(queue.calls());
    }
    expect(calls).toEqual([0, 0, 1, 0, 0]);
  });

  test("virtio 2.7.7.2: with event index, a batch that passes used_event calls once", async () => {
    const running = await startPair({ features: EVENTS });
    const { queue } = running;
    const heads = [place(running), place(running), place(running), place(running)];
    queue.wantsCalls = false;
    settled(running);
    queue.setUsedEvent(1);
    for (const head of heads) queue.stage(head);
    queue.announce();
    queue.kick();
    expect(collectAll(running)).toBe(4);
    expect(queue.calls()).toBe(1);
  });

  test("virtio 2.7.7.2: with event index, the NO_INTERRUPT flag is not looked at", async () => {
    const running = await startPair({ features: EVENTS });
    const { queue } = running;
    settled(running);
    queue.setAvailableFlags(AVAIL_NO_INTERRUPT);
    expect(callsForOne(running)).toBe(1);
  });

  test("vhost-user SET_VRING_CALL: a ring without a descriptor is polled, and a later one is called at once", async () => {
    const running = await startPair({ features: F_VERSION_1 });
    const { queue, frontEnd } = running;
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, 0);
    settled(running);
    expect(callsForOne(running)).toBe(0);
    await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, 0, queue.callNotifier.passed);
    expect(queue.calls()).toBe(1);
  });
});

describe("the driver kicks the device", () => {
  test("virtio 2.7.10: with event index, the device asks for a kick at the next chain once it is idle", async () => {
    const running = await startPair({ features: EVENTS, queue: { startIndex: 65534 } });
    const { queue } = running;
    const head = place(running);
    for (let i = 0; i < 4; i++) {
      collectAll(running);
      expect(queue.availableEvent).toBe(queue.nextAvailable);
      queue.stage(head);
      expect(queue.announce()).toBe(true);
      queue.kick();
      expect(collectAll(running)).toBe(1);
    }
  });

  test("virtio 2.7.10: with event index, no kick is asked for while the device is at work", async () => {
    const running = await startPair({ features: EVENTS });
    const { queue, loop } = running;
    const heads = [place(running), place(running), place(running)];
    settle(loop);
    for (const [i, head] of heads.entries()) {
      queue.stage(head);
      expect(queue.announce()).toBe(i === 0);
    }
    queue.kick();
    expect(collectAll(running)).toBe(3);
  });

  test("virtio 2.7.10: without event index, the device never turns kicks off", async () => {
    const running = await startPair({ features: F_VERSION_1, loop: closing(strictLoop()) });
    const { queue } = running;
    const heads = [place(running), place(running), place(running)];
    for (const head of heads) {
      queue.stage(head);
      expect(queue.announce()).toBe(true);
    }
    queue.kick();
    expect(collectAll(running)).toBe(3);
  });

  test("vhost-user SET_VRING_KICK: chains that were offered before the ring started need no kick", async () => {
    const running = await startPair();
    const { queue, frontEnd } = running;
    await frontEnd.getRingBase(0);
    queue.stage(place(running));
    queue.announce();
    expect(collectAll(running)).toBe(0);
    await startRing(frontEnd, 0, queue);
    expect(collectAll(running)).toBe(1);
  });
});
