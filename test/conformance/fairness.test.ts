import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DriverQueue } from "../support/fake-driver.js";
import { closeAll, closing, strictLoop } from "../support/in-process.js";
import { type PstoreGuest, startGuest } from "../support/pstore-in-process.js";
import { encodeRequest } from "../support/pstore-wire.js";
import { config, message, VU } from "../support/vhost-user-wire.js";

beforeEach(closeAll);
afterEach(closeAll);

const OPEN = 1;
const CLOSE = 5;

/** In a strict loop a turn is over with the first thing that is done in it. */
const turn = ({ loop }: PstoreGuest) => {
  loop.turn(0);
};

/** A request on a queue, to be offered as often as wanted. */
const request = ({ driver }: PstoreGuest, queue: DriverQueue) =>
  driver.prepare(queue, [encodeRequest({ cmd: CLOSE })], [8]).head;

/** Requests that never end, on all of a guest's queues: more() offers again what was answered, and tells how many. */
function flood(guest: PstoreGuest): { more(): number } {
  const { queues } = guest.driver;
  for (const queue of queues) {
    for (let i = 0; i < 40; i++) queue.stage(request(guest, queue));
    queue.announce();
  }
  return {
    more: () => {
      let served = 0;
      for (const queue of queues) {
        for (let head = queue.collect(); head >= 0; head = queue.collect()) {
          served++;
          queue.stage(head);
        }
        queue.announce();
        queue.kick();
      }
      return served;
    },
  };
}

/** The turns until a guest's request is answered, which `meanwhile` is called for. */
function turnsUntilAnswered(guest: PstoreGuest, meanwhile: () => void): number {
  const { readQueue } = guest.driver;
  const head = request(guest, readQueue);
  readQueue.offer(head);
  for (let turns = 1; ; turns++) {
    meanwhile();
    turn(guest);
    if (readQueue.collect() === head) {
      readQueue.release(head);
      return turns;
    }
    if (turns > 100) throw new Error("no answer in a hundred turns");
  }
}

describe("guests take turns", () => {
  test("one that asks and kicks without end has no two turns while another has something to do", async () => {
    const loop = closing(strictLoop());
    const busy = await startGuest({ loop }, { queue: { size: 256 } });
    const other = await startGuest({ loop });
    const { more } = flood(busy);
    let served = 0;
    for (let i = 0; i < 100; i++) {
      more();
      turn(busy);
      served += more();
    }
    // It is busy all the time.
    expect(served).toBeGreaterThan(50);
    for (let i = 0; i < 20; i++) {
      let before = 0;
      const turns = turnsUntilAnswered(other, () => {
        before += more();
      });
      expect(turns).toBeLessThanOrEqual(2);
      expect(before).toBeLessThanOrEqual(1);
    }
  });

  test("nor have ten together more than one each while one that used little has something to do", async () => {
    const loop = closing(strictLoop());
    const busy = await Promise.all(
      Array.from({ length: 10 }, () => startGuest({ loop }, { queue: { size: 256 } })),
    );
    const other = await startGuest({ loop });
    const floods = busy.map(flood);
    const more = () => floods.reduce((sum, one) => sum + one.more(), 0);
    const rest = () => {
      for (let i = 0; i < 200; i++) {
        more();
        turn(other);
      }
    };
    // What they used to connect is forgotten after some time.
    for (let i = 0; i < 4; i++) rest();
    for (let i = 0; i < 10; i++) {
      rest();
      expect(turnsUntilAnswered(other, more)).toBeLessThanOrEqual(2);
    }
  });

  test("a directory is read in as many turns as it takes", async () => {
    const loop = closing(strictLoop());
    const busy = await startGuest({ loop });
    const other = await startGuest({ loop });
    for (let i = 0; i < 300; i++) writeFileSync(join(busy.directory, `dmesg-${i + 1}`), "text");
    const { readQueue } = busy.driver;
    const open = busy.driver.prepare(readQueue, [encodeRequest({ cmd: OPEN })], [8]);
    readQueue.offer(open.head);
    for (let i = 0; i < 50; i++) turn(busy);
    for (let i = 0; i < 10; i++) {
      expect(turnsUntilAnswered(other, () => turn(other))).toBeLessThanOrEqual(2);
    }
    expect(readQueue.collect()).toBe(-1);
    while (readQueue.collect() !== open.head) turn(busy);
    expect(open.writable.readInt32LE(4)).toBe(0);
    expect((await busy.driver.walk()).length).toBe(300);
  });

  test("messages are work like any other", async () => {
    const loop = closing(strictLoop());
    const busy = await startGuest({ loop });
    const other = await startGuest({ loop });
    const ask = message(VU.GET_CONFIG, config(0, 32));
    for (let i = 0; i < 20; i++) busy.frontEnd.sendBytes(ask);
    const flooding = () => {
      for (let i = busy.frontEnd.waitingMessages(); i > 0; i--) busy.frontEnd.sendBytes(ask);
    };
    for (let i = 0; i < 100; i++) {
      flooding();
      turn(busy);
    }
    for (let i = 0; i < 20; i++) {
      expect(turnsUntilAnswered(other, flooding)).toBeLessThanOrEqual(2);
    }
  });
});
