import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { createEventfd, drain, signal } from "./eventfd.js";
import { FairQueue } from "./fair-queue.js";
import { lastErrno, libc, takeViewCount } from "./libc.js";
import { whenReadable } from "./poll.js";
import { Share, type ShareHost, type Task, TURN_MS, type Watched } from "./share.js";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLET = 2 ** 31;
const MAX_EVENTS = 64;

/** struct epoll_event is packed on x86-64 only; `data` follows `events` at this offset. */
const DATA_OFFSET = process.arch === "x64" ? 4 : 8;
const EVENT_BYTES = DATA_OFFSET + 8;

/** Each costs some hundred bytes until Node drops it. */
const MANY_VIEWS = 1000;

interface Timer {
  readonly at: number;
  readonly share: Share;
  readonly task: Task;
}

/**
 * One epoll(7) loop for any number of descriptors: beside Node's own loop with run(), on a thread of its own
 * with runAlone(), which is faster. A test calls turn().
 */
export class EventLoop {
  readonly #epoll = check(libc.epollCreate1(EPOLL_CLOEXEC), "epoll_create1");
  readonly #events = Buffer.alloc(EVENT_BYTES * MAX_EVENTS);
  readonly #watched = new Map<number, Watched>();
  readonly #now: () => number;
  readonly #waiting = new FairQueue<Share>();
  readonly #host: ShareHost;
  /** The loop's own: nobody has to wait for it. */
  readonly #own: Share;
  #ownWaits = false;
  #deferred: { readonly share: Share; readonly task: Task }[] = [];
  /** Sorted by time. */
  readonly #timers: Timer[] = [];
  #running = false;
  /** An eventfd that ends the wait of run(). */
  #wakeFd: number | undefined;
  #isAsleep = false;

  /** `turnClock` tells how long turns last: milliseconds that don't go back. */
  constructor(turnClock: () => number = () => performance.now()) {
    this.#now = turnClock;
    this.#host = {
      now: turnClock,
      watch: (fd, watched, how) => {
        this.#watch(fd, watched, how);
      },
      unwatch: (fd) => {
        this.unwatch(fd);
      },
      defer: (share, task) => {
        this.#deferred.push({ share, task });
        this.#wakeUp();
      },
      after: (delayMs, share, task) => {
        this.#timers.push({ at: performance.now() + delayMs, share, task });
        this.#timers.sort((a, b) => a.at - b.at);
        this.#wakeUp();
      },
      wake: (share) => {
        this.#wake(share, turnClock());
      },
    };
    this.#own = new Share(this.#host);
  }

  /** A new share of this loop's time, as every guest has one. */
  share(): Share {
    return new Share(this.#host);
  }

  /** As a share's; these tasks come before those of any share, and are short. */
  watch(fd: number, onReadable: Task): void {
    this.#own.watch(fd, onReadable);
  }

  /** Forgets `fd`, which must still be open. */
  unwatch(fd: number): void {
    if (!this.#watched.delete(fd)) return;
    libc.epollCtl(this.#epoll, EPOLL_CTL_DEL, fd, Buffer.alloc(EVENT_BYTES));
  }

  /** As watch(). */
  defer(task: Task): void {
    this.#own.defer(task);
  }

  /** As watch(). */
  after(delayMs: number, task: Task): void {
    this.#own.after(delayMs, task);
  }

  /** Waits at most `timeoutMs` (-1: without end) for something to do, and has shares do it, for a turn's time. */
  turn(timeoutMs: number): void {
    this.#poll(timeoutMs);
    const beganMs = this.#now();
    let nowMs: number | undefined = beganMs;
    while (nowMs !== undefined && nowMs - beganMs < TURN_MS) nowMs = this.#serveNext(nowMs);
  }

  /**
   * Runs until stop(), beside Node's own loop: timers, signals and what else the program does go on. While there
   * is nothing to do, it waits on one of the threads of Node's pool (UV_THREADPOOL_SIZE; four by default).
   */
  async run(): Promise<void> {
    const wakeFd = createEventfd();
    this.#wakeFd = wakeFd;
    this.watch(wakeFd, () => {
      drain(wakeFd);
    });
    // Node ends only after the threads of its pool.
    const onExit = () => {
      signal(wakeFd);
    };
    process.once("exit", onExit);
    this.#running = true;
    try {
      while (this.#running) {
        this.turn(0);
        if (!this.#running) break;
        if (this.#isBusy) {
          await new Promise(setImmediate);
          continue;
        }
        this.#isAsleep = true;
        await whenReadable(this.#epoll, this.#untilTimer(-1));
        this.#isAsleep = false;
      }
    } finally {
      process.off("exit", onExit);
      this.unwatch(wakeFd);
      this.#wakeFd = undefined;
      libc.close(wakeFd);
    }
  }

  /**
   * Runs until stop(), and blocks the thread meanwhile: none of Node's timers and signals comes. Node is let do
   * nothing but drop ArrayBuffers: it can't from within a turn.
   */
  async runAlone(): Promise<void> {
    this.#running = true;
    for (let views = 0; this.#running; views += takeViewCount()) {
      this.turn(-1);
      if (views < MANY_VIEWS) continue;
      views = 0;
      await new Promise(setImmediate);
    }
  }

  /** Ends run() or runAlone() after the current turn. */
  stop(): void {
    this.#running = false;
    this.#wakeUp();
  }

  close(): void {
    libc.close(this.#epoll);
  }

  get #isBusy(): boolean {
    return this.#deferred.length > 0 || this.#ownWaits || this.#waiting.size > 0;
  }

  /** Something was given to the loop while it waits, by what else runs on its thread. */
  #wakeUp(): void {
    if (!this.#isAsleep || this.#wakeFd === undefined) return;
    this.#isAsleep = false;
    signal(this.#wakeFd);
  }

  #watch(fd: number, watched: Watched, how: "level" | "edge"): void {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(how === "edge" ? EPOLLIN + EPOLLET : EPOLLIN, 0);
    event.writeInt32LE(fd, DATA_OFFSET);
    check(libc.epollCtl(this.#epoll, EPOLL_CTL_ADD, fd, event), "epoll_ctl");
    this.#watched.set(fd, watched);
  }

  /** Gives shares what there is to do. */
  #poll(timeoutMs: number): void {
    const wait = this.#isBusy ? 0 : this.#untilTimer(timeoutMs);
    const deferred = this.#deferred;
    this.#deferred = [];
    const count = libc.epollWait(this.#epoll, this.#events, MAX_EVENTS, wait);
    if (count < 0 && lastErrno() !== errno.EINTR) throw new SystemError("epoll_wait", lastErrno());
    for (let i = 0; i < count; i++) {
      const fd = this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
      const watched = this.#watched.get(fd);
      if (watched === undefined || watched.isReady) continue;
      watched.isReady = true;
      watched.share.post(() => {
        watched.isReady = false;
        // It may have been forgotten since, and its number be another's.
        if (this.#watched.get(fd) === watched) watched.onReadable();
      });
    }
    for (const { share, task } of deferred) share.post(task);
    const now = performance.now();
    while (this.#timers[0] !== undefined && this.#timers[0].at <= now) {
      const [{ share, task }] = this.#timers.splice(0, 1) as [Timer];
      share.post(task);
    }
  }

  /** One turn of whoever is next: when it ended; undefined where nobody has anything to do. */
  #serveNext(beganMs: number): number | undefined {
    const share = this.#ownWaits ? this.#own : this.#waiting.take();
    if (share === undefined) return undefined;
    this.#ownWaits = false;
    const isLeft = share.serve(beganMs);
    const nowMs = this.#now();
    this.#waiting.charge(share, nowMs - beganMs, nowMs);
    if (isLeft) this.#wake(share, nowMs);
    return nowMs;
  }

  #wake(share: Share, nowMs: number): void {
    if (share === this.#own) this.#ownWaits = true;
    else this.#waiting.add(share, nowMs);
    this.#wakeUp();
  }

  #untilTimer(timeoutMs: number): number {
    const next = this.#timers[0];
    if (next === undefined) return timeoutMs;
    const delay = Math.max(0, Math.ceil(next.at - performance.now()));
    return timeoutMs < 0 ? delay : Math.min(delay, timeoutMs);
  }
}
