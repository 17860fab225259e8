import { afterEach, beforeEach, expect, test } from "vitest";
import { EventLoop } from "../../src/native/index.js";
import { closeAll, closing } from "../support/in-process.js";
import { startGuest } from "../support/pstore-in-process.js";
import { encodeRequest } from "../support/pstore-wire.js";

beforeEach(closeAll);
afterEach(closeAll);

/** src/device/pstore-device.ts: the requests that a queue gets done before other guests have their turn. */
const REQUESTS_PER_TURN = 64;
const CLOSE = 5;

test("a guest that kicks and asks without end keeps another waiting for one turn of its own, and no longer", async () => {
  const loop = closing(new EventLoop());
  const busy = await startGuest({ loop }, { queue: { size: 256 } });
  const other = await startGuest({ loop });
  const { writeQueue } = busy.driver;
  const flood = Array.from({ length: 120 }, () =>
    busy.driver.prepare(writeQueue, [encodeRequest({ cmd: CLOSE })], [8]),
  );
  for (const { head } of flood) writeQueue.offer(head);

  let servedMost = 0;
  let served = 0;
  const turn = () => {
    writeQueue.kick();
    loop.turn(0);
    let count = 0;
    for (let head = writeQueue.collect(); head >= 0; head = writeQueue.collect()) {
      count++;
      writeQueue.offer(head);
    }
    served += count;
    servedMost = Math.max(servedMost, count);
  };
  for (let i = 0; i < 20; i++) turn();
  // It is busy all the time.
  expect(served).toBeGreaterThan(10 * REQUESTS_PER_TURN);

  const { readQueue } = other.driver;
  const waited: number[] = [];
  for (let i = 0; i < 20; i++) {
    const { head } = other.driver.prepare(readQueue, [encodeRequest({ cmd: CLOSE })], [8]);
    readQueue.offer(head);
    const before = served;
    let turns = 0;
    while (readQueue.collect() !== head) {
      turn();
      turns++;
      expect(turns).toBeLessThanOrEqual(2);
    }
    waited.push(served - before);
  }
  // In one turn a queue is served where it was kicked, and where it had more than its share before.
  expect(servedMost).toBeLessThanOrEqual(2 * REQUESTS_PER_TURN);
  expect(Math.max(...waited)).toBeLessThanOrEqual(2 * REQUESTS_PER_TURN);
});
