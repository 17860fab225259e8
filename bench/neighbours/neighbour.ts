// A process of `npm run bench:neighbours`: the guest that attacks must not reach.
import { writeSync } from "node:fs";
import { EventLoop } from "../../src/os/index.js";
import type { DriverQueue } from "../../test/support/fake-driver.js";
import { FakeFrontEnd } from "../../test/support/fake-front-end.js";
import { GuestRam } from "../../test/support/guest-ram.js";
import { type PreparedRequest, startPstoreDriver } from "../../test/support/pstore-driver.js";
import { F_EXTENDED, F_PANIC_VQ } from "../../test/support/pstore-wire.js";
import { F_VERSION_1 } from "../../test/support/vhost-user-wire.js";

const DMESG = 1;
const CONSOLE = 2;
const LINE_EVERY_MS = 4;
/** A panic behind so many lines. */
const LINES = 60;
/** Lines before a panic, and panics, however long they take. */
const LEAST = 3;
/** As our driver sends 1 MiB: VPSTORE_DUMP_SIZE and VPSTORE_DUMP_REQUESTS of guest/vpstore.h. */
const CHUNKS = 8;
const CHUNK_BYTES = 128 << 10;
/** Formatting one takes so long. */
const CHUNK_MS = 0.5;
/** Waits no longer than so long behind the end of its time. */
const PATIENCE_MS = 20_000;

/** What the process prints: milliseconds. */
export interface Latencies {
  readonly requests: readonly number[];
  readonly panics: readonly number[];
}

const [, , socket = "", seconds] = process.argv;
const loop = new EventLoop();
const frontEnd = FakeFrontEnd.connect(socket);
const ram = new GuestRam([{ guestAddress: 0n, size: 16n << 20n }]);
const driver = await startPstoreDriver(frontEnd, ram, {
  features: F_VERSION_1 | F_EXTENDED | F_PANIC_VQ,
  panicQueue: true,
});
for (const { callNotifier } of driver.queues) {
  loop.watch(callNotifier.passed, () => {
    callNotifier.count();
  });
}
const lines = driver.writeQueue;
const panic = driver.queues[2] ?? lines;
const line = driver.prepareWrite({ type: CONSOLE }, Buffer.alloc(100, "a line\n"), lines);
const chunks = Array.from({ length: CHUNKS }, () =>
  driver.prepareWrite({ type: DMESG }, Buffer.alloc(CHUNK_BYTES, "Panic#1 Part1\n"), panic),
);

function rest(ms: number): void {
  const until = performance.now() + ms;
  for (let left = ms; left > 0; left = until - performance.now()) loop.turn(Math.ceil(left));
}

function spin(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

let end = Number.POSITIVE_INFINITY;
const requests: number[] = [];
const panics: number[] = [];

/** Tells what was measured until now, and ends. */
function finish(): never {
  writeSync(1, `${JSON.stringify({ requests, panics } satisfies Latencies)}\n`);
  process.exit();
}

/** Waits until all of them are answered with 0, and notes how long that took. */
function take(
  times: number[],
  queue: DriverQueue,
  asked: readonly PreparedRequest[],
  since: number,
): void {
  for (let left = asked.length; left > 0; ) {
    if (queue.collect() >= 0) {
      left--;
    } else if (performance.now() > end + PATIENCE_MS) {
      times.push(performance.now() - since);
      finish();
    } else {
      loop.turn(100);
    }
  }
  times.push(performance.now() - since);
  for (const { writable } of asked) {
    const ret = writable.readInt32LE(4);
    if (ret !== 0) throw new Error(`a WRITE was answered with ${ret}`);
  }
}

function askOnce(): void {
  const began = performance.now();
  lines.offer(line.head);
  take(requests, lines, [line], began);
}

function panicOnce(): void {
  const began = performance.now();
  for (const { head } of chunks) {
    spin(CHUNK_MS);
    panic.offer(head);
  }
  take(panics, panic, chunks, began);
}

for (let i = 0; i < 20; i++) askOnce();
panicOnce();
console.log("ready");
await new Promise((resolve) => process.stdin.once("data", resolve));
requests.length = 0;
panics.length = 0;
end = performance.now() + 1000 * Number(seconds);
const isOver = () => performance.now() > end;
while (!isOver() || panics.length < LEAST) {
  for (let i = 0; i < LINES && (!isOver() || i < LEAST); i++) {
    askOnce();
    rest(LINE_EVERY_MS);
  }
  panicOnce();
}
finish();
