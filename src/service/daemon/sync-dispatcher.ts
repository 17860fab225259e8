import type { MessagePort } from "node:worker_threads";
import { type Claim, FairQueue, type Share } from "../../os/index.js";
import type { Commit, CommitResult, Committer } from "../../store/index.js";
import type { SyncAnswer, SyncRequest } from "./sync-port.js";

/** A sync thread. */
type Thread = Pick<MessagePort, "postMessage">;

/** Something that a guest has made durable. */
interface Job {
  readonly batch: Commit;
  /** How far it is. */
  after: CommitResult | undefined;
  readonly done: (result: CommitResult) => void;
}

/** What one guest has made durable: one thing after the other. */
class GuestCommitter implements Committer, Claim {
  usedMs = 0;
  atMs = 0;
  dueMs = 0;
  readonly jobs: Job[] = [];
  readonly share: Share;
  readonly #onJob: (committer: GuestCommitter) => void;

  constructor(share: Share, onJob: (committer: GuestCommitter) => void) {
    this.share = share;
    this.#onJob = onJob;
  }

  run(batch: Commit, done: (result: CommitResult) => void): void {
    this.jobs.push({ batch, after: undefined, done });
    if (this.jobs.length === 1) this.#onJob(this);
  }
}

/**
 * Gives what guests have made durable to the sync threads, in turns as on the event loop: those first that used
 * less of the disk's time. A thread ends its turn between two records where somebody waits for a thread.
 */
export class SyncDispatcher {
  readonly #idle: Thread[];
  readonly #busy = new Map<Thread, GuestCommitter>();
  readonly #queue = new FairQueue<GuestCommitter>();
  /** How many guests wait for a thread: the threads look at it. */
  readonly #waiting: Int32Array;
  readonly #now: () => number;

  /** `waiting` is shared with the threads. `now`: a clock in milliseconds that doesn't go back. */
  constructor(
    threads: readonly Thread[],
    waiting: Int32Array,
    now: () => number = () => performance.now(),
  ) {
    this.#idle = [...threads];
    this.#waiting = waiting;
    this.#now = now;
  }

  /** For a guest, which is told in its turns. */
  committer(share: Share): Committer {
    return new GuestCommitter(share, (committer) => {
      this.#queue.add(committer, this.#now());
      this.#dispatch();
    });
  }

  /** A thread has answered. */
  answered(thread: Thread, { result, tookMs }: SyncAnswer): void {
    const guest = this.#busy.get(thread);
    const job = guest?.jobs[0];
    if (guest === undefined || job === undefined) return;
    this.#busy.delete(thread);
    this.#idle.push(thread);
    const nowMs = this.#now();
    this.#queue.charge(guest, tookMs, nowMs);
    if (result.records.length < job.batch.records.length) {
      job.after = result;
    } else {
      guest.jobs.shift();
      guest.share.post(() => {
        job.done(result);
      });
    }
    if (guest.jobs.length > 0) this.#queue.add(guest, nowMs);
    this.#dispatch();
  }

  #dispatch(): void {
    while (this.#idle.length > 0) {
      const guest = this.#queue.take();
      const [job] = guest?.jobs ?? [];
      const thread = this.#idle.at(-1);
      if (guest === undefined || job === undefined || thread === undefined) break;
      this.#idle.pop();
      this.#busy.set(thread, guest);
      const { batch, after } = job;
      thread.postMessage({ batch, after } satisfies SyncRequest);
    }
    Atomics.store(this.#waiting, 0, this.#queue.size);
  }
}
