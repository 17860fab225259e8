import { expect, test } from "vitest";
import { EventLoop } from "../../os/index.js";
import type { Commit, CommitResult } from "../../store/index.js";
import { SyncDispatcher } from "./sync-dispatcher.js";
import type { SyncRequest } from "./sync-port.js";

/** A batch of so many records, which `directory` tells from others. */
const batchOf = (directory: number, records = 1): Commit => ({
  records: Array.from({ length: records }, () => ({ fd: 0, temporaryPath: "", path: "" })),
  appended: [],
  directory,
});

/** A thread that is given work, and does it when it is told to. */
class Thread {
  request: SyncRequest | undefined;

  postMessage(request: unknown): void {
    expect(this.request).toBeUndefined();
    this.request = request as SyncRequest;
  }

  /** The directory of the batch that it has. */
  get has(): number | undefined {
    return this.request?.batch.directory;
  }
}

function dispatching(threadCount: number) {
  const loop = new EventLoop(() => 0);
  let nowMs = 0;
  const threads = Array.from({ length: threadCount }, () => new Thread());
  const waiting = new Int32Array(1);
  const dispatcher = new SyncDispatcher(threads, waiting, () => nowMs);
  const done: { readonly batch: number; readonly result: CommitResult }[] = [];
  const guest = () => {
    const committer = dispatcher.committer(loop.share());
    return (batch: Commit) => {
      committer.run(batch, (result) => {
        done.push({ batch: batch.directory ?? -1, result });
      });
    };
  };
  /** A thread has worked so long, and done all of what it has, or so many records of it. */
  const answer = (thread: Thread | undefined, tookMs: number, records?: number) => {
    const request = thread?.request;
    if (thread === undefined || request === undefined) throw new Error("the thread has nothing");
    thread.request = undefined;
    nowMs += tookMs;
    const results = request.batch.records.slice(0, records).map(() => 0);
    dispatcher.answered(thread, { result: { records: results, rest: 0 }, tookMs });
    loop.turn(0);
  };
  return { threads, waiting, done, guest, answer };
}

test("what one guest has made durable is done one after the other", () => {
  const { threads, done, guest, answer } = dispatching(4);
  const run = guest();
  for (let i = 1; i <= 5; i++) run(batchOf(i));
  for (let i = 1; i <= 5; i++) {
    const [busy, ...others] = threads.filter(({ request }) => request !== undefined);
    expect(others).toEqual([]);
    expect(busy?.has).toBe(i);
    answer(busy, 1);
    expect(done.map(({ batch }) => batch)).toEqual(Array.from({ length: i }, (_, at) => at + 1));
  }
});

test("who used little is next, however many that use much came before", () => {
  const { threads, waiting, guest, answer } = dispatching(2);
  const busy = Array.from({ length: 10 }, guest);
  for (let round = 0; round < 30; round++) for (const [i, run] of busy.entries()) run(batchOf(i));
  for (let i = 0; i < 100; i++) answer(threads[i % 2], 3);
  const other = guest();
  other(batchOf(99));
  expect(waiting[0]).toBe(9);
  answer(threads[0], 3);
  expect(threads[0]?.has).toBe(99);
  expect(waiting[0]).toBe(9);
});

test("a batch that is left for others goes on where it was, and is told as a whole", () => {
  const { threads, done, guest, answer } = dispatching(1);
  const [long, short] = [guest(), guest()];
  long(batchOf(1, 5));
  short(batchOf(2));
  answer(threads[0], 2, 2);
  expect(threads[0]?.has).toBe(2);
  answer(threads[0], 1);
  expect(threads[0]?.request?.after).toEqual({ records: [0, 0], rest: 0 });
  answer(threads[0], 2);
  expect(done).toEqual([
    { batch: 2, result: { records: [0], rest: 0 } },
    { batch: 1, result: { records: [0, 0, 0, 0, 0], rest: 0 } },
  ]);
});
