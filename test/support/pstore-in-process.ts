import { readdirSync } from "node:fs";
import { PstoreDevice } from "../../src/device/index.js";
import { type EventLoop, type Share, socketPair } from "../../src/os/index.js";
import type { RecordTypeName } from "../../src/records/index.js";
import {
  type Commit,
  type CommitResult,
  type Committer,
  commit,
  DirectoryStore,
  type StoreOptions,
} from "../../src/store/index.js";
import { type LogEvent, Session } from "../../src/virtio/vhost-user/index.js";
import type { DriverQueueOptions } from "./fake-driver.js";
import { FakeFrontEnd } from "./fake-front-end.js";
import { GuestRam, type RamSpec } from "./guest-ram.js";
import { closing, connectionOf, patientLoop, refusalsIn, settle } from "./in-process.js";
import { temporaryFolder } from "./in-process-server.js";
import { qemuStart, qemuStop, type StartOptions } from "./negotiations.js";
import { type PstoreDriver, type PstoreDriverOptions, startPstoreDriver } from "./pstore-driver.js";

/** Keeps commits back until they are released: a disk that takes its time. */
export class HeldCommitter implements Committer {
  holds = true;
  readonly #held: { readonly batch: Commit; readonly done: (result: CommitResult) => void }[] = [];

  run(batch: Commit, done: (result: CommitResult) => void): void {
    this.#held.push({ batch, done });
    if (!this.holds) this.release();
  }

  get held(): number {
    return this.#held.length;
  }

  /** Does what is held, in order. */
  release(): void {
    for (const { batch, done } of this.#held.splice(0)) done(commit(batch));
  }

  /** Does nothing of what is held, and says that it failed. */
  fail(number: number): void {
    for (const { batch, done } of this.#held.splice(0)) {
      done({ records: batch.records.map(() => number), rest: number });
    }
  }
}

/** The host's side of one guest, in this thread. */
export interface PstoreHost {
  readonly loop: EventLoop;
  /** The guest's. */
  readonly share: Share;
  readonly directory: string;
  readonly store: DirectoryStore;
  readonly log: LogEvent[];
  /** What was told of drivers that have started. */
  readonly drivers: LogEvent[];
  /** Of its front-ends, the last one last. */
  readonly sessions: Session[];
  readonly bufsize: number;
  readonly maxData: number;
  readonly types: readonly RecordTypeName[];
}

export interface PstoreHostOptions extends StoreOptions {
  readonly loop?: EventLoop;
  /** A folder of its own where not given. */
  readonly directory?: string;
  readonly bufsize?: number;
  readonly maxData?: number;
  /** dmesg and console where not given. */
  readonly types?: readonly RecordTypeName[];
}

export function pstoreHost(options: PstoreHostOptions = {}): PstoreHost {
  const { loop, directory, bufsize, maxData, types, ...storeOptions } = options;
  const folder = directory ?? temporaryFolder();
  const eventLoop = loop ?? closing(patientLoop());
  const share = eventLoop.share();
  const isTurnOver = () => share.isTurnOver;
  return {
    loop: eventLoop,
    share,
    directory: folder,
    store: closing(new DirectoryStore(folder, { isTurnOver, ...storeOptions })),
    log: [],
    drivers: [],
    sessions: [],
    bufsize: bufsize ?? 16384,
    maxData: maxData ?? 1 << 20,
    types: types ?? ["dmesg", "console"],
  };
}

/** A guest that is connected to its host. */
export interface PstoreGuest extends PstoreHost {
  readonly frontEnd: FakeFrontEnd;
  readonly ram: GuestRam;
  readonly driver: PstoreDriver;
}

export interface PstoreGuestOptions extends PstoreDriverOptions, StartOptions {
  readonly ram?: readonly RamSpec[];
  readonly queue?: DriverQueueOptions;
}

/** A new connection, with a device of its own. */
export function connectFrontEnd(host: PstoreHost): FakeFrontEnd {
  const { loop, share, store, log, drivers, bufsize, maxData, types } = host;
  const [own, other] = socketPair();
  const push = (event: LogEvent) => (event.code === "DRIVER" ? drivers : log).push(event);
  const device = new PstoreDevice({ store, bufsize, maxData, types, log: push });
  const connection = connectionOf(other);
  host.sessions.push(closing(new Session({ loop: share, connection, device, log: push })));
  const frontEnd = closing(
    new FakeFrontEnd(own, () => {
      loop.turn(0);
    }),
  );
  frontEnd.refusals = () => refusalsIn(log);
  return frontEnd;
}

/** A new connection whose driver may begin. */
export async function connectGuest(
  host: PstoreHost,
  options: PstoreGuestOptions = {},
): Promise<PstoreGuest> {
  const { bufsize } = host;
  const { ram: specs, ...driverOptions } = options;
  const frontEnd = connectFrontEnd(host);
  const ram = closing(new GuestRam(specs));
  const driver = await startPstoreDriver(frontEnd, ram, { bufsize, ...driverOptions });
  for (const queue of driver.queues) closing(queue);
  return { ...host, frontEnd, ram, driver };
}

/** A host and one guest. */
export async function startGuest(
  host: PstoreHostOptions = {},
  guest: PstoreGuestOptions = {},
): Promise<PstoreGuest> {
  return connectGuest(pstoreHost(host), guest);
}

export interface ResetOptions extends StartOptions {
  /** Written before the queues start, as by a driver's probe. */
  readonly bootId?: Uint8Array;
  /** How the front-end tells of the reset: not at all, as QEMU, where not given. */
  readonly tell?: (frontEnd: FakeFrontEnd) => Promise<unknown>;
}

/** The driver resets the device (virtio 2.4) and begins anew. */
export async function resetGuest(
  { frontEnd, ram, driver }: PstoreGuest,
  options: ResetOptions = {},
): Promise<void> {
  const { queues } = driver;
  await qemuStop(frontEnd, queues);
  await options.tell?.(frontEnd);
  for (const region of ram.regions) await frontEnd.removeRegion(region);
  for (const queue of queues) queue.restart();
  if (options.bootId !== undefined) await driver.writeBootId(options.bootId);
  await qemuStart(frontEnd, ram, queues, options);
}

/** The front-end goes away. */
export function disconnectGuest({ frontEnd, loop }: PstoreGuest): void {
  frontEnd.close();
  settle(loop);
}

/** The records' names in a guest's directory, without the store's own files. */
export function recordNames(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !name.startsWith("."))
    .sort();
}
