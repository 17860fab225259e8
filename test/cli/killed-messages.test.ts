import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { closeDescriptor, createEventfd } from "../../src/native/index.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import { startRing } from "../support/negotiations.js";
import { config, u64, VU } from "../support/vhost-user-wire.js";
import { FIRST_STEPS, killEverywhere, serveKillable } from "./killing.js";
import { connect, stop } from "./support.js";

const DMESG = 1;

/** Messages of each kind: with a reply of their own, with descriptors, taking rings and memory away. */
test.each(FIRST_STEPS)(
  "messages are each handled once and answered once, wherever the daemon is killed: at every seventh step from %i",
  async (firstStep) => {
    const server = await serveKillable();
    const guest = await connect(server.socket);
    const { driver, frontEnd } = guest;
    const { writeQueue } = driver;
    const more = new GuestRam([{ guestAddress: 1n << 32n, size: MIB, userAddress: 1n << 40n }]);
    const region = more.region(0);
    let stored = 0;

    const rounds = await killEverywhere(server, frontEnd, firstStep, async (n) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(4096 + n);
      expect(await frontEnd.tell(VU.SET_CONFIG, config(0, 4, bytes))).toBe(0n);
      expect((await driver.config()).bufsize).toBe(4096 + n);
      expect(await frontEnd.addRegion(region)).toBe(0n);
      // Once more it would overlap.
      expect(await frontEnd.addRegion(region)).toBe(1n);
      expect(await frontEnd.removeRegion(region)).toBe(0n);
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, 1, 0);
      const base = await frontEnd.getRingBase(1);
      expect(base).toBe(stored & 0xffff);
      await startRing(frontEnd, 1, writeQueue, base);
      await frontEnd.setRingDescriptor(VU.SET_VRING_CALL, 1, writeQueue.callNotifier.passed);
      const unused = createEventfd();
      expect(await frontEnd.setRingDescriptor(VU.SET_VRING_ERR, 1, unused)).toBe(0n);
      closeDescriptor(unused);
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, 1, 1);
      // An error, and a message without a reply.
      expect(await frontEnd.tell(VU.SET_VRING_NUM, u64(3n << 32n))).toBe(1n);
      frontEnd.send(VU.SET_OWNER);
      const data = Buffer.from(`dump ${stored}`);
      expect(await driver.write({ type: DMESG }, data)).toMatchObject({ ret: 0 });
      stored++;
      expect(frontEnd.waitingMessages()).toBe(0);
    });
    expect(rounds).toBeGreaterThan(12);
    const names = readdirSync(server.records).filter((name) => name.startsWith("dmesg-"));
    const contents = names.map((name) => readFileSync(join(server.records, name), "latin1"));
    expect(new Set(contents).size).toBe(rounds);
    expect(contents).toHaveLength(rounds);
    guest.close();
    more.close();
    expect((await stop(server.running)).status).toBe(0);
  },
);
