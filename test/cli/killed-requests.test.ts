import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Command, FILEINFO_BYTES, RESPONSE_BYTES } from "../../src/device/wire.js";
import type { DriverQueue } from "../support/fake-driver.js";
import type { PreparedRequest } from "../support/pstore-driver.js";
import {
  decodeFileInfo,
  decodeResponse,
  encodeRequest,
  type PstoreRequest,
} from "../support/pstore-wire.js";
import { type KillSeries, killEverywhere, killedBeside, serveKillable } from "./killing.js";
import { connect, type Guest, stop } from "./support.js";

const DMESG = 1;
const CONSOLE = 2;
const ROOM = 64;

/** Offers requests to both queues at once, and returns their responses' bytes in the order of the rings. */
async function exchange(
  { driver, frontEnd }: Guest,
  batches: readonly (readonly [DriverQueue, readonly PreparedRequest[]])[],
): Promise<void> {
  for (const [queue, requests] of batches) {
    for (const { head } of requests) queue.stage(head);
    queue.announce();
  }
  for (const [queue] of batches) queue.kick();
  for (const [queue, requests] of batches) {
    for (const { head } of requests) {
      let collected = -1;
      await frontEnd.until(() => {
        collected = queue.collect();
        return collected >= 0;
      }, "an answer");
      expect(collected).toBe(head);
    }
  }
  for (const queue of driver.queues) expect(queue.collect()).toBe(-1);
}

/**
 * Each round stores a dump and a line of the console, with lines before and behind that the full disk refuses
 * once, erases the record that the round before read first, and reads two: all in one turn of the device, on
 * two queues.
 */
async function killAmidBatches(series: KillSeries): Promise<number> {
  const server = await serveKillable("--console", "--on-erase", "remove");
  const guest = await connect(server.socket);
  const { driver, frontEnd } = guest;
  const dump = (n: number) => Buffer.from(`dump ${n};`);
  const line = (n: number) => Buffer.from(`line ${n}\n`);
  const refusable = (n: number, place: string) => Buffer.from(`not refused-${place}${n}\n`);
  /** What the console has to have, with a note of what is missing where that is. */
  const expected: (string | number)[] = [];
  for (let n = 0; n < 3; n++) await driver.write({ type: DMESG }, dump(n));
  let oldest: bigint | undefined;

  const rounds = await killEverywhere(server, frontEnd, series, async (n) => {
    const text = (bytes: Buffer) => ({
      bytes,
      prepared: driver.prepareWrite({ type: CONSOLE }, bytes),
    });
    const [before, between, behind] = [
      text(refusable(n, "a")),
      text(line(n)),
      text(refusable(n, "b")),
    ];
    const writes = [driver.prepareWrite({ type: DMESG }, dump(n + 3)), between.prepared];
    const all = [before.prepared, ...writes, behind.prepared];
    const request = (what: PstoreRequest, room = 0) =>
      driver.prepare(driver.readQueue, [encodeRequest(what)], [RESPONSE_BYTES + room]);
    const open = request({ cmd: Command.OPEN });
    const reads = [0, 1].map(() => request({ cmd: Command.READ }, FILEINFO_BYTES + ROOM));
    const close = request({ cmd: Command.CLOSE });
    const erase =
      oldest === undefined ? [] : [request({ cmd: Command.ERASE, type: DMESG, id: oldest })];
    const others = [...erase, open, ...reads, close];
    await exchange(guest, [
      [driver.readQueue, others],
      [driver.writeQueue, all],
    ]);
    for (const { bytes, prepared } of [before, between, behind]) {
      const { ret } = decodeResponse(prepared.writable, RESPONSE_BYTES);
      expect([0, -28]).toContain(ret);
      expected.push(ret === 0 ? bytes.toString() : bytes.length);
    }
    for (const { writable } of [...writes, ...others]) {
      expect(decodeResponse(writable, RESPONSE_BYTES).ret).toBe(0);
    }
    reads.forEach(({ writable }, i) => {
      const info = decodeFileInfo(writable.subarray(RESPONSE_BYTES));
      const data = writable.subarray(RESPONSE_BYTES + FILEINFO_BYTES).subarray(0, info.len);
      expect(data.toString()).toBe(dump(n + i).toString());
      if (i === 0) oldest = info.id;
    });
    for (const prepared of all) driver.discard(driver.writeQueue, prepared);
    for (const prepared of others) driver.discard(driver.readQueue, prepared);
  });

  const contents = (prefix: string) =>
    readdirSync(server.records)
      .filter((name) => name.startsWith(prefix))
      .map((name) => readFileSync(join(server.records, name), "latin1"));
  // Had one been stored twice, a round would have read it instead of the next.
  expect(contents("dmesg-").sort()).toEqual(
    Array.from({ length: 4 }, (_, i) => dump(rounds - 1 + i).toString()).sort(),
  );
  guest.close();
  const { status, stderr } = await stop(server.running);
  expect(status).toBe(0);
  const [text = ""] = contents("console-");
  const found = textAndGaps(text.split(/(?<=\n)/).map((one) => missingIn(one) ?? one));
  const wanted = textAndGaps(expected);
  expect(found.text).toEqual(wanted.text);
  // A daemon that dies as it refuses some may have it counted twice, or counted and then taken.
  // What is missing at the end isn't said where it dies just then.
  found.gaps.slice(0, -1).forEach((bytes, i) => {
    expect(bytes).toBeGreaterThanOrEqual(wanted.gaps[i] ?? 0);
  });
  // Each was told, though a daemon may have died between storing and telling.
  expect(new Set(stderr.match(/stored \S+\/dmesg-\d+/g)).size).toBe(rounds + 3);
  return rounds;
}

test("requests are each answered once and stored once, wherever the daemon is killed", async () => {
  // Of a batch that does all of this, that many system calls are the least.
  expect(await killedBeside(killAmidBatches)).toBeGreaterThan(12);
});

/** The bytes that are missing where a stream's line is a note of that. */
function missingIn(line: string): number | undefined {
  const [, bytes] = /^\[virtio-pstore: (\d+) bytes are missing here\]\n$/.exec(line) ?? [];
  return bytes === undefined ? undefined : Number(bytes);
}

/** A stream's lines, and how many bytes are missing before each of them and at the end. */
function textAndGaps(lines: readonly (string | number)[]): { text: string[]; gaps: number[] } {
  const text: string[] = [];
  const gaps = [0];
  for (const line of lines) {
    if (typeof line === "number") {
      gaps.push((gaps.pop() ?? 0) + line);
    } else {
      text.push(line);
      gaps.push(0);
    }
  }
  return { text, gaps };
}
