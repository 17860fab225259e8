import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { closeDescriptor, createEventfd } from "../../src/os/index.js";
import type { DriverQueue } from "../support/fake-driver.js";
import type { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import {
  config,
  memoryRegion,
  NEED_REPLY,
  u64,
  VU,
  vringAddress,
  vringState,
} from "../support/vhost-user-wire.js";
import { type KillSeries, killEverywhere, killedBeside, serveKillable } from "./killing.js";
import { connect, stop } from "./support.js";

const DMESG = 1;
const OK = u64(0n);
const REFUSED = u64(1n);

/** A message, and the reply that it gets, where it gets one. */
type Said = readonly [
  request: number,
  payload: Buffer,
  reply?: Buffer,
  descriptors?: readonly number[],
];

/** Says all of it, and waits for each reply before the next message or for all of them behind the last one. */
async function say(frontEnd: FakeFrontEnd, all: readonly Said[], pipelines: boolean) {
  const hear = async ([request, , reply]: Said) => {
    if (reply === undefined) return;
    expect(await frontEnd.receive()).toEqual({ request, flags: 5, payload: reply });
  };
  for (const said of all) {
    const [request, payload, reply, descriptors] = said;
    frontEnd.send(request, payload, descriptors, reply === undefined ? 0 : NEED_REPLY);
    if (!pipelines) await hear(said);
  }
  if (pipelines) for (const said of all) await hear(said);
  expect(frontEnd.waitingMessages()).toBe(0);
}

/** Stops a ring that stands at `base`, and starts it there again. */
function restart(index: number, queue: DriverQueue, base: number): Said[] {
  const addresses = {
    descriptors: queue.ram.userAddress(queue.descriptors),
    available: queue.ram.userAddress(queue.available),
    used: queue.ram.userAddress(queue.used),
  };
  const ring = u64(BigInt(index));
  return [
    [VU.SET_VRING_ENABLE, vringState(index, 0), OK],
    [VU.GET_VRING_BASE, vringState(index, 0), vringState(index, base)],
    [VU.SET_VRING_NUM, vringState(index, queue.size), OK],
    [VU.SET_VRING_BASE, vringState(index, base)],
    [VU.SET_VRING_ADDR, vringAddress(index, addresses), OK],
    [VU.SET_VRING_KICK, ring, OK, [queue.kickNotifier.passed]],
    [VU.SET_VRING_CALL, ring, OK, [queue.callNotifier.passed]],
  ];
}

const kinds = [
  ["that waits for each reply", false],
  ["that pipelines", true],
] as const;

/** Messages of each kind: with a reply of their own, with descriptors, taking rings and memory away. */
async function killAmidMessages(pipelines: boolean, series: KillSeries): Promise<number> {
  const server = await serveKillable();
  const guest = await connect(server.socket);
  const { driver, frontEnd } = guest;
  const { writeQueue } = driver;
  const more = new GuestRam([{ guestAddress: 1n << 32n, size: MIB, userAddress: 1n << 40n }]);
  const region = memoryRegion(more.region(0));
  const memory = [more.region(0).fd];
  let stored = 0;

  const rounds = await killEverywhere(server, frontEnd, series, async (n) => {
    const bufsize = Buffer.alloc(4);
    bufsize.writeUInt32LE(4096 + n);
    const unused = createEventfd();
    await say(
      frontEnd,
      [
        [VU.SET_CONFIG, config(0, 4, bufsize), OK],
        [VU.GET_CONFIG, config(0, 4), config(0, 4, bufsize)],
        [VU.ADD_MEM_REG, region, OK, memory],
        // Once more it would overlap.
        [VU.ADD_MEM_REG, region, REFUSED, memory],
        // Without its descriptor, which the one behind it has.
        [VU.SET_VRING_ERR, u64(1n), REFUSED],
        [VU.SET_VRING_ERR, u64(1n), OK, [unused]],
        [VU.REM_MEM_REG, region, OK],
        ...restart(1, writeQueue, stored & 0xffff),
        [VU.SET_VRING_ENABLE, vringState(1, 1), OK],
        // An error, and a message without a reply.
        [VU.SET_VRING_NUM, u64(3n << 32n), REFUSED],
        [VU.SET_OWNER, Buffer.alloc(0)],
      ],
      pipelines,
    );
    closeDescriptor(unused);
    writeQueue.calls();
    const data = Buffer.from(`dump ${stored}`);
    expect(await driver.write({ type: DMESG }, data)).toMatchObject({ ret: 0 });
    await frontEnd.until(() => writeQueue.calls() > 0, "a call");
    stored++;
  });
  const names = readdirSync(server.records).filter((name) => name.startsWith("dmesg-"));
  const contents = names.map((name) => readFileSync(join(server.records, name), "latin1"));
  expect(new Set(contents).size).toBe(rounds);
  expect(contents).toHaveLength(rounds);
  guest.close();
  more.close();
  expect((await stop(server.running)).status).toBe(0);
  return rounds;
}

test.each(kinds)(
  "messages of a front-end %s are each handled once and answered once, wherever the daemon is killed",
  async (_name, pipelines) => {
    const rounds = await killedBeside((series) => killAmidMessages(pipelines, series));
    expect(rounds).toBeGreaterThan(40);
  },
);
