import type { MessagePort } from "node:worker_threads";
import { signal } from "../../os/index.js";
import { type Commit, type CommitResult, commit } from "../../store/index.js";

/** So long a thread works for one guest where others wait. */
const TURN_MS = 2;

/** One end of the way to a sync thread. */
export interface SyncPort {
  readonly port: MessagePort;
  /** An eventfd that is signalled when the thread has answered. */
  readonly answeredFd: number;
  /** One number: how many guests wait for a thread. */
  readonly waiting: SharedArrayBuffer;
}

/** What a thread is to do: a batch, as far as it isn't done. */
export interface SyncRequest {
  readonly batch: Commit;
  readonly after: CommitResult | undefined;
}

/** What it did, perhaps not all of it. */
export interface SyncAnswer {
  readonly result: CommitResult;
  readonly tookMs: number;
}

/** The thread's own side: waits for the disk so that the event loop needn't. */
export function serveCommits({ port, answeredFd, waiting }: SyncPort): void {
  const count = new Int32Array(waiting);
  port.on("message", ({ batch, after }: SyncRequest) => {
    const began = performance.now();
    const isTurnOver = () => Atomics.load(count, 0) > 0 && performance.now() - began >= TURN_MS;
    const result = commit(batch, { after, isTurnOver });
    port.postMessage({ result, tookMs: performance.now() - began } satisfies SyncAnswer);
    signal(answeredFd);
  });
}
