import { check } from "./check.js";
import { errno, SystemError } from "./errno.js";
import { lastErrno, libc } from "./libc.js";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const MAX_EVENTS = 64;

/** struct epoll_event is packed on x86-64 only; `data` follows `events` at this offset. */
const DATA_OFFSET = process.arch === "x64" ? 4 : 8;
const EVENT_BYTES = DATA_OFFSET + 8;

/**
 * One epoll(7) loop for any number of descriptors. It blocks the thread it runs on, Node's own loop
 * included: a daemon gives it a worker thread, a test calls turn(). Level-triggered.
 */
export class EventLoop {
  readonly #epoll = check(libc.epollCreate1(EPOLL_CLOEXEC), "epoll_create1");
  readonly #events = Buffer.alloc(EVENT_BYTES * MAX_EVENTS);
  readonly #watched = new Map<number, () => void>();
  #deferred: (() => void)[] = [];
  /** Sorted by time. */
  readonly #timers: { readonly at: number; readonly task: () => void }[] = [];
  #running = false;

  /** Calls `onReadable` whenever `fd` is readable or its other end is gone, until unwatch(). */
  watch(fd: number, onReadable: () => void): void {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeInt32LE(fd, DATA_OFFSET);
    check(libc.epollCtl(this.#epoll, EPOLL_CTL_ADD, fd, event), "epoll_ctl");
    this.#watched.set(fd, onReadable);
  }

  /** Forgets `fd`, which must still be open. */
  unwatch(fd: number): void {
    if (!this.#watched.delete(fd)) return;
    libc.epollCtl(this.#epoll, EPOLL_CTL_DEL, fd, Buffer.alloc(EVENT_BYTES));
  }

  /** Calls `task` in the next turn, after the descriptors that are ready by then had theirs. */
  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  /** Calls `task` once, in `delayMs` or a little later. */
  after(delayMs: number, task: () => void): void {
    this.#timers.push({ at: performance.now() + delayMs, task });
    this.#timers.sort((a, b) => a.at - b.at);
  }

  /** Waits at most `timeoutMs` (-1: without end) for something to do and does it. */
  turn(timeoutMs: number): void {
    const tasks = this.#deferred;
    this.#deferred = [];
    const wait = tasks.length > 0 ? 0 : this.#untilTimer(timeoutMs);
    const count = libc.epollWait(this.#epoll, this.#events, MAX_EVENTS, wait);
    if (count < 0 && lastErrno() !== errno.EINTR) throw new SystemError("epoll_wait", lastErrno());
    for (let i = 0; i < count; i++) {
      const fd = this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
      this.#watched.get(fd)?.();
    }
    for (const task of tasks) task();
    const now = performance.now();
    while (this.#timers[0] !== undefined && this.#timers[0].at <= now) this.#timers.shift()?.task();
  }

  /** Runs until stop(). */
  run(): void {
    this.#running = true;
    while (this.#running) this.turn(-1);
  }

  /** Ends run() after the current turn. */
  stop(): void {
    this.#running = false;
  }

  #untilTimer(timeoutMs: number): number {
    const next = this.#timers[0];
    if (next === undefined) return timeoutMs;
    const delay = Math.max(0, Math.ceil(next.at - performance.now()));
    return timeoutMs < 0 ? delay : Math.min(delay, timeoutMs);
  }

  close(): void {
    libc.close(this.#epoll);
  }
}
