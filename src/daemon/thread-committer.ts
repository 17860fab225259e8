import type { MessagePort } from "node:worker_threads";
import { signal } from "../native/index.js";
import { type Commit, type CommitResult, type Committer, commit } from "../store/index.js";

/** One end of the way to a sync thread. */
export interface SyncPort {
  readonly port: MessagePort;
  /** An eventfd that is signalled when the thread has answered. */
  readonly answeredFd: number;
}

/** Hands commits to a sync thread, which does them in order and answers each. */
export class ThreadCommitter implements Committer {
  readonly #port: MessagePort;
  readonly #waiting: ((result: CommitResult) => void)[] = [];

  constructor(port: MessagePort) {
    this.#port = port;
  }

  run(batch: Commit, done: (result: CommitResult) => void): void {
    this.#waiting.push(done);
    this.#port.postMessage(batch);
  }

  /** Takes one answer. */
  answered(result: CommitResult): void {
    this.#waiting.shift()?.(result);
  }
}

/** The thread's own side: waits for the disk so that the event loop needn't. */
export function serveCommits({ port, answeredFd }: SyncPort): void {
  port.on("message", (batch: Commit) => {
    port.postMessage(commit(batch));
    signal(answeredFd);
  });
}
