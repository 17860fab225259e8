import { PstoreDevice } from "../../device/index.js";
import type { Share } from "../../os/index.js";
import type { EndKind, GuestEnd } from "../../records/index.js";
import {
  type Committer,
  DirectoryStore,
  errorText,
  RequestJournal,
  type StoredRecord,
} from "../../store/index.js";
import { type LogEvent, PlainConnection, Server, Session } from "../../virtio/vhost-user/index.js";
import { LogLimiter } from "../log/log-limiter.js";
import type { SharedNotices } from "../log/shared-notices.js";
import { StoreLog } from "../log/store-log.js";
import { PersistentSession } from "../session/index.js";
import type { GuestState } from "./guest-state.js";
import type { DaemonEvent, DeviceSettings, GuestSettings } from "./settings.js";

/** What a guest can cause without end. */
type LimitedEvent =
  | ({ readonly kind: "log" } & LogEvent)
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected"; readonly end?: EndKind };

/** What a guest is served with. */
export interface GuestServerOptions {
  /** Of its own: what it causes is done in its turns. */
  readonly loop: Share;
  readonly guest: GuestSettings;
  readonly device: DeviceSettings;
  readonly committer: Committer;
  readonly tell: (event: DaemonEvent) => void;
  /** Another directory has the name of the guest's, and this process may not use it: as StoreOptions has it. */
  readonly onForbidden: (number: number) => void;
  /** All guests'. */
  readonly notices: SharedNotices;
  /** A connection that was passed in has ended: there won't be another. */
  readonly onEnd: () => void;
}

/** One guest: its directory, and the socket or connection that its front-end uses. */
export class GuestServer {
  readonly #options: GuestServerOptions;
  readonly #limiter: LogLimiter<LimitedEvent>;
  readonly #storeLog: StoreLog;
  readonly #store: DirectoryStore;
  readonly #frontEnd: Server | Session;
  /** Of the connection that there is, or that was there last. */
  #device: PstoreDevice | undefined;
  #connected = false;
  /** How the guest ended whose front-end has just gone away. */
  #end: GuestEnd | undefined;
  #leaving = false;
  #whenDisconnected: (() => void) | undefined;

  /** Throws StoreError where the directory can't be used. */
  constructor(options: GuestServerOptions) {
    this.#options = options;
    const { loop, guest, device, tell } = options;
    this.#limiter = new LogLimiter((event, suppressed) => {
      tell({ guest: guest.name, ...event, suppressed });
    });
    const log = (event: LogEvent) => {
      if (options.notices.take(guest.name, event)) return;
      this.#limiter.log(event.code, { kind: "log", ...event });
    };
    this.#storeLog = new StoreLog(log);
    const tellStored = ({ path, size }: StoredRecord) => {
      tell({ kind: "stored", guest: guest.name, path, size });
    };
    const session = guest.session && new PersistentSession(guest.session);
    this.#store = new DirectoryStore(guest.directory, {
      onErase: device.onErase,
      compress: device.compress,
      quotas: device.quotas,
      rates: device.rates,
      rateLevels: session?.rateLevels,
      minFree: device.minFree,
      committer: options.committer,
      after: (delayMs, task) => {
        loop.after(delayMs, task);
      },
      isTurnOver: () => loop.isTurnOver,
      onStored: tellStored,
      onDropped: (dropped) => {
        this.#storeLog.dropped(dropped);
      },
      onRefused: (type, bytes, why) => {
        this.#storeLog.refused(type, bytes, why);
      },
      onMoved: () => {
        const message = `${guest.directory} is another directory than before: records go there now`;
        log({ level: "warn", code: "MOVED", message });
      },
      onForbidden: options.onForbidden,
      onSyncError: (number) => {
        const message = `what was taken could not be synced: ${errorText(guest.directory, number)}`;
        log({ level: "error", code: "SYNC", message });
      },
    });
    if (session !== undefined) {
      // What the process before stored, and died before it was told.
      if (session.loggedId === undefined) session.loggedId = this.#store.lastId;
      for (const stored of this.#store.dumpsAfter(session.loggedId ?? 0n)) tellStored(stored);
    }
    const createDevice = () => {
      this.#device = new PstoreDevice({
        store: this.#store,
        bufsize: device.bufsize,
        maxData: device.maxData,
        types: device.types,
        log,
        onEnd: (end) => {
          this.#end = end;
        },
        journal: new RequestJournal(session?.journal),
      });
      return this.#device;
    };
    const { fd } = guest;
    if (guest.connected) {
      const resumed = session?.resume();
      const connection = resumed ?? session?.begin(() => fd) ?? new PlainConnection(fd);
      const onClose = () => {
        this.#onDisconnect();
        options.onEnd();
      };
      this.#frontEnd = new Session({ loop, connection, device: createDevice(), log, onClose });
      this.#onConnect(resumed !== undefined);
    } else {
      this.#frontEnd = new Server({
        loop,
        fd,
        createDevice,
        sessions: session,
        log,
        onConnect: (resumed) => {
          this.#onConnect(resumed);
        },
        onDisconnect: () => {
          this.#onDisconnect();
        },
      });
    }
  }

  /** Tells, in the guest's next turn, what is known of it then. */
  tellState(tell: (state: GuestState) => void): void {
    this.#options.loop.post(() => {
      tell(this.state);
    });
  }

  /** What is known of the guest at this moment. */
  get state(): GuestState {
    const session = this.#frontEnd instanceof Server ? this.#frontEnd.session : this.#frontEnd;
    const { guest, device } = this.#options;
    const { directory, lastLineMs, lastDump, lastEnd } = this.#store;
    const of = this.#connected ? session : undefined;
    const isRunning = of?.driver.state === "running";
    return {
      guest: guest.name,
      directory,
      connectedMs: of?.connectedMs,
      driver: of?.driver,
      sharedRegions: of?.sharedRegions ?? [],
      started: isRunning ? this.#device?.summary(of.started) : undefined,
      lastLineMs,
      lastDump,
      lastEnd,
      quotas: new Map(device.types.map((type) => [type, this.#store.usage(type)])),
      refused: this.#storeLog.refusedSince,
    };
  }

  /**
   * Once nothing is in flight, ends the connection or leaves it to another daemon; syncs what is stored,
   * then calls `done`.
   */
  close(how: "end" | "leave", done: () => void): void {
    const closeStore = () => {
      this.#limiter.end();
      this.#store.close(done);
    };
    if (this.#connected) this.#whenDisconnected = closeStore;
    this.#leaving = how === "leave";
    this.#frontEnd.close(how);
    if (this.#whenDisconnected === undefined) closeStore();
  }

  #onConnect(resumed: boolean): void {
    this.#connected = true;
    if (resumed) return;
    this.#limiter.log("connected", { kind: "connected" });
  }

  #onDisconnect(): void {
    this.#connected = false;
    const end = this.#end === undefined ? {} : { end: this.#end.kind };
    this.#end = undefined;
    this.#limiter.flush();
    if (!this.#leaving) this.#limiter.log("disconnected", { kind: "disconnected", ...end });
    this.#whenDisconnected?.();
  }
}
