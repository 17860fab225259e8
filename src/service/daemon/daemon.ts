import { basename } from "node:path";
import { MessageChannel, Worker } from "node:worker_threads";
import { createEventfd, signal } from "../../os/index.js";
import { parseRecordName } from "../../records/index.js";
import { PersistentSession } from "../session/index.js";
import type { GuestState } from "./guest-state.js";
import type { LoopThreadMessage, LoopThreadStart } from "./loop-thread.js";
import type { DaemonEvent, DaemonSettings } from "./settings.js";
import type { SyncPort } from "./sync-port.js";

/** However often they are asked for, guests' states are looked at no more often. */
const ASK_PAUSE_MS = 50;

/** Descriptors pass from one thread to another: none of them belongs to the thread that opened it. */
const THREAD_OPTIONS = { trackUnmanagedFds: false };

/**
 * A running back-end. Its event loop has a thread of its own, which blocks in epoll_wait(2); this
 * thread stays free for signals, child processes and the log.
 */
export class Daemon {
  /** Resolves when everything is stored and closed; rejects where the event loop's thread failed. */
  readonly ended: Promise<void>;
  readonly #stopFd = createEventfd();
  readonly #askFd = createEventfd();
  readonly #guests: readonly string[];
  /** The states that came since they were asked for, by their guests, and who waits for all of them. */
  readonly #states = new Map<string, GuestState>();
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asked: Promise<readonly GuestState[]> | undefined;
  #onStates: (states: readonly GuestState[]) => void = () => undefined;

  constructor(settings: DaemonSettings, onEvent: (event: DaemonEvent) => void) {
    const syncPorts: SyncPort[] = [];
    const waiting = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const syncThreads: Worker[] = [];
    for (let i = 0; i < settings.syncThreads; i++) {
      const { port1, port2 } = new MessageChannel();
      const answeredFd = createEventfd();
      const start: SyncPort = { port: port1, answeredFd, waiting };
      const thread = new Worker(new URL("./sync-thread.js", import.meta.url), {
        workerData: start,
        transferList: [port1],
        ...THREAD_OPTIONS,
      });
      syncThreads.push(thread);
      syncPorts.push({ port: port2, answeredFd, waiting });
    }
    this.#guests = settings.guests.map(({ name }) => name);
    const [stopFd, askFd] = [this.#stopFd, this.#askFd];
    const start: LoopThreadStart = { settings, stopFd, askFd, syncPorts };
    const worker = new Worker(new URL("./loop-thread.js", import.meta.url), {
      workerData: start,
      transferList: syncPorts.map(({ port }) => port),
      ...THREAD_OPTIONS,
    });
    const sessions = new Map(
      settings.guests.flatMap(({ name, session }) =>
        session === undefined ? [] : [[name, new PersistentSession(session)] as const],
      ),
    );
    worker.on("message", (message: LoopThreadMessage) => {
      if ("state" in message) {
        this.#take(message.state);
        return;
      }
      for (const event of message.events) {
        const session = "guest" in event ? sessions.get(event.guest) : undefined;
        // Ids are another directory's from now on.
        if (event.kind === "replaced" && session !== undefined) session.loggedId = undefined;
        onEvent(event);
        if (event.kind !== "stored") continue;
        const record = parseRecordName(basename(event.path));
        if (session !== undefined && record !== undefined) session.loggedId = record.id;
      }
    });
    this.ended = new Promise((resolve, reject) => {
      for (const thread of [worker, ...syncThreads]) thread.on("error", reject);
      worker.on("exit", () => {
        resolve();
      });
    });
  }

  /**
   * What is known of each guest, in the order of the settings. It comes when the event loop's thread gets to it,
   * which may be never where a disk doesn't answer.
   */
  states(): Promise<readonly GuestState[]> {
    if (this.#asked === undefined) {
      this.#asked = new Promise((resolve) => {
        this.#onStates = resolve;
      });
      setTimeout(
        () => {
          this.#askedAtMs = performance.now();
          this.#states.clear();
          signal(this.#askFd);
        },
        Math.max(0, this.#askedAtMs + ASK_PAUSE_MS - performance.now()),
      );
    }
    return this.#asked;
  }

  #take(state: GuestState): void {
    this.#states.set(state.guest, state);
    if (this.#states.size < this.#guests.length) return;
    this.#asked = undefined;
    this.#onStates(this.#guests.flatMap((guest) => this.#states.get(guest) ?? []));
  }

  /** Ends connections and sockets once nothing is in flight; `ended` tells when. */
  stop(): void {
    signal(this.#stopFd);
  }
}
