// The entry point of the event loop's thread: serves every guest until it is told to stop.
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { drain, EventLoop } from "../../os/index.js";
import { InlineCommitter } from "../../store/index.js";
import { SharedNotices } from "../log/shared-notices.js";
import { isOnlyConfined } from "./confinement.js";
import { GuestServer } from "./guest-server.js";
import type { GuestState } from "./guest-state.js";
import type { DaemonEvent, DaemonSettings, GuestSettings } from "./settings.js";
import { SyncDispatcher } from "./sync-dispatcher.js";
import type { SyncAnswer, SyncPort } from "./sync-port.js";

/** What the thread is started with. */
export interface LoopThreadStart {
  readonly settings: DaemonSettings;
  /** An eventfd: readable when the thread is to stop. */
  readonly stopFd: number;
  /** Likewise: when it is to tell each guest's state. */
  readonly askFd: number;
  readonly syncPorts: readonly SyncPort[];
}

/** What the thread tells. */
export type LoopThreadMessage = { readonly events: DaemonEvent[] } | { readonly state: GuestState };

const { settings, stopFd, askFd, syncPorts } = workerData as LoopThreadStart;
const loop = new EventLoop();
const guests: GuestServer[] = [];
let stopping = false;

/** Events are told together: the main thread must not wake up beside a guest that waits for its answer. */
const TELL_MS = 10;
let untold: DaemonEvent[] = [];

function tell(event: DaemonEvent): void {
  if (untold.length === 0) loop.after(TELL_MS, tellAll);
  untold.push(event);
}

const post = (message: LoopThreadMessage) => parentPort?.postMessage(message);

function tellAll(): void {
  post({ events: untold });
  untold = [];
}

/** Has the main thread end this process as it is, with nothing answered that isn't done. */
function leaveToNext({ name: guest, directory }: GuestSettings): never {
  const message = `${directory} is another directory than before, to which this process isn't confined: the next one takes it`;
  tell({ kind: "log", guest, level: "warn", code: "MOVED", message, suppressed: 0 });
  tell({ kind: "replaced", guest });
  tellAll();
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Undefined where there are no sync threads. */
function syncDispatcher(): SyncDispatcher | undefined {
  const [first] = syncPorts;
  if (first === undefined) return undefined;
  const ports = syncPorts.map(({ port }) => port);
  const dispatcher = new SyncDispatcher(ports, new Int32Array(first.waiting));
  for (const { port, answeredFd } of syncPorts) {
    loop.watch(answeredFd, () => {
      drain(answeredFd);
      for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) {
        dispatcher.answered(port, next.message as SyncAnswer);
      }
    });
  }
  return dispatcher;
}

function stop(): void {
  if (stopping) return;
  stopping = true;
  let open = guests.length;
  for (const guest of guests) {
    guest.close(settings.managed === true ? "leave" : "end", () => {
      open--;
      if (open === 0) loop.stop();
    });
  }
}

try {
  const dispatcher = syncDispatcher();
  const notices = new SharedNotices({
    tell: (guest, event) => {
      tell({ kind: "log", guest, ...event, suppressed: 0 });
    },
    after: (delayMs, task) => {
      loop.after(delayMs, task);
    },
  });
  let endless = settings.guests.length;
  for (const guest of settings.guests) {
    const onEnd = () => {
      endless--;
      if (endless === 0) loop.defer(stop);
    };
    const share = loop.share();
    const committer = dispatcher?.committer(share) ?? new InlineCommitter();
    const onForbidden = (number: number) => {
      if (isOnlyConfined(guest.directory, number, settings)) leaveToNext(guest);
    };
    const device = settings;
    const options = { loop: share, guest, device, committer, tell, notices, onForbidden, onEnd };
    guests.push(new GuestServer(options));
  }
  loop.watch(stopFd, () => {
    drain(stopFd);
    stop();
  });
  loop.watch(askFd, () => {
    drain(askFd);
    for (const guest of guests) guest.tellState((state) => post({ state }));
  });
  tell({ kind: "ready" });
  tellAll();
  await loop.runAlone();
} catch (error) {
  if (!(error instanceof Error) || !("code" in error)) throw error;
  tell({ kind: "failed", code: String(error.code), message: error.message });
}
tellAll();
for (const { port } of syncPorts) port.close();
