import type { Claim } from "./fair-queue.js";

/**
 * How long a share's turn lasts, if it has so much to do. With less a batch of requests would have fewer of them,
 * and the disk would be waited for more often; with more the other shares would wait longer.
 */
export const TURN_MS = 2;

/** What is to be done for a share. */
export type Task = () => void;

/** A descriptor that a share watches. */
export interface Watched {
  readonly share: Share;
  readonly onReadable: Task;
  /** Its share has it among its tasks. */
  isReady: boolean;
}

/** What shares and their loop ask of each other. */
export interface ShareHost {
  now(): number;
  watch(fd: number, watched: Watched, how: "level" | "edge"): void;
  unwatch(fd: number): void;
  defer(share: Share, task: Task): void;
  after(delayMs: number, share: Share, task: Task): void;
  /** The share has something to do. */
  wake(share: Share): void;
}

/**
 * A part of an event loop's time: what one guest causes, whatever it is, is done in turns of its share, one of
 * which ends a fixed time after it began. A single task can't be interrupted: it asks whether the turn is over.
 */
export class Share implements Claim {
  usedMs = 0;
  atMs = 0;
  dueMs = 0;
  readonly #host: ShareHost;
  readonly #tasks: Task[] = [];
  #isServed = false;
  #beganMs = 0;

  /** Made by EventLoop's share(). */
  constructor(host: ShareHost) {
    this.#host = host;
  }

  /**
   * Calls `onReadable` whenever `fd` is readable or its other end is gone, until unwatch(). "edge": only where that
   * has come about anew, so that what is never emptied isn't readable for ever.
   */
  watch(fd: number, onReadable: Task, how: "level" | "edge" = "level"): void {
    this.#host.watch(fd, { share: this, onReadable, isReady: false }, how);
  }

  /** Forgets `fd`, which must still be open. */
  unwatch(fd: number): void {
    this.#host.unwatch(fd);
  }

  /** Calls `task` in another turn, behind the descriptors that are ready by then. */
  defer(task: Task): void {
    this.#host.defer(this, task);
  }

  /** Calls `task` once, in `delayMs` or a little later. */
  after(delayMs: number, task: Task): void {
    this.#host.after(delayMs, this, task);
  }

  /** Calls `task` in this share's next turn, or in the one under way. */
  post(task: Task): void {
    this.#tasks.push(task);
    if (!this.#isServed) this.#host.wake(this);
  }

  /** The turn has lasted long enough: what is left is for the next one. */
  get isTurnOver(): boolean {
    return this.#host.now() - this.#beganMs >= TURN_MS;
  }

  /** One turn, which begins now: true where something is left to do. For the loop. */
  serve(nowMs: number): boolean {
    this.#beganMs = nowMs;
    this.#isServed = true;
    let done = 0;
    for (const task of this.#tasks) {
      done++;
      task();
      if (this.isTurnOver) break;
    }
    this.#isServed = false;
    this.#tasks.splice(0, done);
    return this.#tasks.length > 0;
  }
}
