import { expect, onTestFinished, test } from "vitest";
import type { DriverQueue } from "../support/fake-driver.js";
import { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam } from "../support/guest-ram.js";
import { until } from "../support/patience.js";
import { type PreparedRequest, startPstoreDriver } from "../support/pstore-driver.js";
import { F_EVENT_IDX, F_VERSION_1 } from "../support/vhost-user-wire.js";
import { type KillableServer, type KillSeries, killedBeside, serveKillable } from "./killing.js";
import { daemonOf, stop } from "./support.js";

const CONSOLE = 2;

/**
 * A driver that lives by notifications alone, as Linux's does: it kicks where the device asks for it
 * (VIRTIO_F_EVENT_IDX), and looks at the used ring when it was called. One that is lost is never made up for.
 */
async function strictGuest({ socket }: KillableServer) {
  const frontEnd = FakeFrontEnd.connect(socket);
  const ram = new GuestRam();
  const driver = await startPstoreDriver(frontEnd, ram, { features: F_VERSION_1 | F_EVENT_IDX });
  onTestFinished(() => {
    frontEnd.close();
    for (const queue of driver.queues) queue.close();
    ram.close();
  });
  const lines = (queue: DriverQueue, count: number) =>
    Array.from({ length: count }, () =>
      driver.prepareWrite({ type: CONSOLE }, Buffer.from("a line\n"), queue),
    );
  const offer = (queue: DriverQueue, requests: readonly PreparedRequest[]) => {
    for (const { head } of requests) queue.offer(head);
  };
  const answered = async (queue: DriverQueue, requests: readonly PreparedRequest[]) => {
    for (let left = requests.length; left > 0; ) {
      await until(
        () => queue.calls() > 0,
        () => `no call for ${left} requests, and the used ring is at ${queue.usedIndex}`,
      );
      while (queue.collect() >= 0) left--;
    }
    for (const request of requests) driver.discard(queue, request);
  };
  /** Has so many requests done on both queues at once. */
  const exchange = async (count: number) => {
    const all = driver.queues.map((queue) => [queue, lines(queue, count)] as const);
    for (const [queue, requests] of all) offer(queue, requests);
    for (const [queue, requests] of all) await answered(queue, requests);
  };
  return { frontEnd, exchange };
}

/** The daemon that was started in place of another. */
async function nextDaemon({ running }: KillableServer, former: number): Promise<number> {
  let next: number | undefined;
  const isThere = () => {
    next = daemonOf(running);
    return next !== undefined && next !== former;
  };
  await until(isThere, running.stderr);
  return next ?? 0;
}

/** Who is killed: the daemon amid requests, or before them, and then the next one, as it goes on where the other ended. */
const VICTIMS = [
  ["the daemon", false],
  ["the next daemon, too,", true],
] as const;

async function killAmidRequests(isNext: boolean, series: KillSeries): Promise<number> {
  // A daemon that goes on has twice as many steps.
  const [first, stride] = isNext
    ? [2 * series.first, 2 * series.stride]
    : [series.first, series.stride];
  const server = await serveKillable("--console");
  const { frontEnd, exchange } = await strictGuest(server);
  let deaths = 0;
  for (let step = first; ; step += stride) {
    for (let i = 0; i < 2; i++) await frontEnd.barrier();
    const former = daemonOf(server.running) ?? 0;
    // It takes no more steps then.
    if (isNext) process.kill(former, "SIGKILL");
    server.killAt(step);
    const exchanged = exchange(3);
    const dying = isNext ? await nextDaemon(server, former) : former;
    await exchanged;
    for (let count = 1; count <= 2; count++) await exchange(count);
    await server.died();
    if (daemonOf(server.running) === dying) break;
    deaths++;
  }
  frontEnd.close();
  expect((await stop(server.running)).status).toBe(0);
  return deaths;
}

test.each(VICTIMS)("no kick and no call is lost, wherever %s is killed", async (_who, isNext) => {
  const deaths = await killedBeside((series) => killAmidRequests(isNext, series));
  expect(deaths).toBeGreaterThan(12);
});
