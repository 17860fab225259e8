import { afterEach, describe, expect, test } from "vitest";
import type { DriverQueue } from "../support/fake-driver.js";
import { closeAll, settle } from "../support/in-process.js";
import { qemuStop, startRing } from "../support/negotiations.js";
import {
  disconnectGuest,
  type PstoreGuest,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";
import { encodeRequest, F_EXTENDED, F_PANIC_VQ } from "../support/pstore-wire.js";
import { F_VERSION_1, u64, VU, vringState } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const OPEN = 1;
const features = F_VERSION_1 | F_EXTENDED | F_PANIC_VQ;

const start = () => startGuest({}, { features, panicQueue: true });

/** How many queues each driver has that was told of. */
const told = ({ drivers }: PstoreGuest) => drivers.map(({ details }) => details?.queues);

/** A request that is answered. */
async function ask({ driver }: PstoreGuest): Promise<void> {
  expect(await driver.request({ cmd: OPEN })).toMatchObject({ ret: 0 });
}

/** A ring runs, again or for the first time. */
async function run(
  { frontEnd }: PstoreGuest,
  index: number,
  queue: DriverQueue,
  base = 0,
): Promise<void> {
  await startRing(frontEnd, index, queue, base);
  await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, index, queue.callNotifier.passed);
  await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 1);
}

/** A guest whose driver has reset the device, and its queues, of which none runs. */
async function stopped(): Promise<{ guest: PstoreGuest; queues: readonly DriverQueue[] }> {
  const guest = await start();
  const { queues } = guest.driver;
  await qemuStop(guest.frontEnd, queues);
  await guest.frontEnd.must(VU.SET_STATUS, u64(0n));
  for (const queue of queues) queue.restart();
  guest.drivers.length = 0;
  return { guest, queues };
}

describe("that a driver has started is told", () => {
  test("once, at its first request's answer, with its interface, types and queues", async () => {
    const guest = await start();
    expect(guest.drivers).toEqual([]);
    for (let i = 0; i < 3; i++) await ask(guest);
    expect(guest.drivers).toEqual([
      {
        level: "info",
        code: "DRIVER",
        message:
          "driver started: extended interface; types dmesg, console (not ftrace, pmsg: see --types); 3 queues",
        details: { interface: "extended", types: "dmesg,console", queues: 3 },
      },
    ]);
  });

  test("a second after its last ring's start, where it makes no request", async () => {
    const began = performance.now();
    const guest = await start();
    await guest.frontEnd.until(() => guest.drivers.length > 0, "the driver's start");
    expect(performance.now() - began).toBeGreaterThan(1000);
    expect(told(guest)).toEqual([3]);
  });

  test.each([
    ["rings stop", async (guest: PstoreGuest) => qemuStop(guest.frontEnd, guest.driver.queues)],
    ["connection ends", disconnectGuest],
  ])("where its %s before", async (_, end) => {
    const guest = await start();
    expect(guest.drivers).toEqual([]);
    await end(guest);
    expect(told(guest)).toEqual([3]);
  });

  test("with rings whose start its front-end has sent, and that isn't handled yet", async () => {
    const { guest, queues } = await stopped();
    const { frontEnd, driver } = guest;
    for (const [index, queue] of queues.entries()) {
      if (index === 0) await run(guest, index, queue);
      else await startRing(frontEnd, index, queue);
    }
    settle(guest.loop);
    // The kick is seen first: this front-end waits for no answer.
    driver.readQueue.offer(
      driver.prepare(driver.readQueue, [encodeRequest({ cmd: OPEN })], [8]).head,
    );
    for (const index of [1, 2]) frontEnd.send(VU.SET_VRING_ENABLE, vringState(index, 1));
    await frontEnd.until(() => driver.readQueue.collect() >= 0, "the answer");
    await frontEnd.until(() => guest.drivers.length > 0, "the driver's start");
    expect(told(guest)).toEqual([3]);
  });

  test("again, where a ring comes later", async () => {
    const { guest, queues } = await stopped();
    for (const [index, queue] of queues.entries()) {
      await run(guest, index, queue);
      await ask(guest);
    }
    expect(told(guest)).toEqual([1, 2, 3]);
  });

  test("again after a reset, and not where its machine was paused", async () => {
    const guest = await start();
    const { queues } = guest.driver;
    await ask(guest);
    const bases = await qemuStop(guest.frontEnd, queues);
    for (const [index, queue] of queues.entries()) await run(guest, index, queue, bases[index]);
    await ask(guest);
    expect(told(guest)).toEqual([3]);
    await resetGuest(guest, { features });
    await ask(guest);
    expect(told(guest)).toEqual([3, 3]);
  });
});
