import { closeDescriptor, EventLoop, socketPair } from "../../src/os/index.js";
import { DescriptorQueue } from "../../src/service/session/descriptor-queue.js";
import { PersistentConnection } from "../../src/service/session/persistent-connection.js";
import { SessionFile } from "../../src/service/session/session-file.js";
import {
  type Connection,
  type LogEvent,
  PlainConnection,
  Session,
  type SessionStore,
} from "../../src/virtio/vhost-user/index.js";
import { EchoDevice, type EchoOptions } from "./echo-device.js";
import { DriverQueue, type DriverQueueOptions } from "./fake-driver.js";
import { FakeFrontEnd } from "./fake-front-end.js";
import { frontEndMode } from "./front-end-mode.js";
import { GuestRam, type RamSpec } from "./guest-ram.js";
import { ALL_FEATURES, qemuConnect, qemuStart } from "./negotiations.js";
import { F_EVENT_IDX } from "./vhost-user-wire.js";

const openThings: { close(): void }[] = [];

/** For afterEach: closes what the tests' helpers opened, the newest first. */
export function closeAll(): void {
  for (const thing of openThings.splice(0).reverse()) thing.close();
}

/** Has `thing` closed by closeAll(). */
export function closing<T extends { close(): void }>(thing: T): T {
  openThings.push(thing);
  return thing;
}

/** A loop whose turns last until nothing is left to do, however slow the machine is. */
export const patientLoop = (): EventLoop => new EventLoop(() => 0);

/** A loop whose turns are over with the first thing that is done in them: no clock decides who is next. */
export function strictLoop(): EventLoop {
  let nowMs = 0;
  return new EventLoop(() => {
    nowMs += 2;
    return nowMs;
  });
}

/** Keeps sessions beyond this process, where the mode asks for that. */
export function sessionsOfMode(): SessionStore | undefined {
  if (!frontEndMode().kept) return undefined;
  const descriptors = [SessionFile.create(), ...DescriptorQueue.create()] as const;
  const [file, ...ends] = descriptors;
  closing({
    close: () => {
      for (const fd of descriptors) closeDescriptor(fd);
    },
  });
  return {
    resume: () => undefined,
    begin: (accept) =>
      PersistentConnection.begin(new SessionFile(file), new DescriptorQueue(ends), accept),
  };
}

/** A session's end of a connection, as the mode has it. */
export function connectionOf(fd: number): Connection {
  return sessionsOfMode()?.begin(() => fd) ?? new PlainConnection(fd);
}

/** How many messages a log says were refused. */
export const refusalsIn = (log: readonly LogEvent[]): number =>
  log.filter(({ message }) => /^([A-Z_]+|message \d+): /.test(message)).length;

/** A front-end, a session and an echo device in this thread. The loop turns as the front-end waits. */
export interface Pair {
  readonly loop: EventLoop;
  readonly frontEnd: FakeFrontEnd;
  readonly session: Session;
  readonly device: EchoDevice;
  readonly log: LogEvent[];
  closed(): boolean;
}

/** Connects a front-end to a session; `loop` where several share one. */
export function connectPair(options: EchoOptions = {}, loop = closing(patientLoop())): Pair {
  const [own, other] = socketPair();
  const device = new EchoDevice(options);
  const log: LogEvent[] = [];
  let closed = false;
  const session = new Session({
    loop: loop.share(),
    connection: connectionOf(other),
    device,
    log: (event) => log.push(event),
    onClose: () => {
      closed = true;
    },
  });
  const frontEnd = closing(
    new FakeFrontEnd(own, () => {
      loop.turn(0);
    }),
  );
  frontEnd.refusals = () => refusalsIn(log);
  closing({
    close: () => {
      device.complete();
      session.close();
      device.complete();
    },
  });
  return { loop, frontEnd, session, device, log, closed: () => closed };
}

/** A pair whose rings run. */
export interface Running extends Pair {
  readonly ram: GuestRam;
  readonly queues: readonly DriverQueue[];
  readonly queue: DriverQueue;
}

export interface RunningOptions extends EchoOptions {
  readonly ram?: readonly RamSpec[];
  readonly features?: bigint;
  readonly queue?: DriverQueueOptions;
  readonly wholeTable?: boolean;
  readonly loop?: EventLoop;
}

/** Negotiates as QEMU does and starts every ring. */
export async function startPair(options: RunningOptions = {}): Promise<Running> {
  const pair = connectPair(options, options.loop);
  const ram = closing(new GuestRam(options.ram));
  const features = options.features ?? ALL_FEATURES & ~F_EVENT_IDX;
  const queues = Array.from({ length: pair.device.queueCount }, () =>
    closing(
      new DriverQueue(ram, { eventIndex: (features & F_EVENT_IDX) !== 0n, ...options.queue }),
    ),
  );
  await qemuConnect(pair.frontEnd, queues);
  await qemuStart(pair.frontEnd, ram, queues, {
    features,
    base: options.queue?.startIndex ?? 0,
    wholeTable: options.wholeTable ?? false,
  });
  const [queue] = queues;
  if (queue === undefined) throw new RangeError("a device without queues");
  return { ...pair, ram, queues, queue };
}

/** Turns the loop until nothing more can be expected of it. */
export function settle(loop: EventLoop): void {
  for (let i = 0; i < 8; i++) loop.turn(0);
}

/** Sends `bytes` through a queue and returns what comes back, with room for `room` bytes. */
export async function echo(
  { frontEnd, ram }: Pick<Running, "frontEnd" | "ram">,
  queue: DriverQueue,
  bytes: Uint8Array,
  room = bytes.length,
): Promise<Buffer> {
  const from = ram.allocate(Math.max(1, bytes.length));
  const to = ram.allocate(Math.max(1, room));
  ram.bytes(from, bytes.length).set(bytes);
  const head = queue.add([
    { address: from, length: bytes.length, writable: false },
    { address: to, length: room, writable: true },
  ]);
  let collected = -1;
  await frontEnd.until(() => {
    collected = queue.collect();
    return collected >= 0;
  }, "the echo");
  if (collected !== head) throw new Error(`chain ${collected} came back, not ${head}`);
  return Buffer.from(ram.bytes(to, room).subarray(0, queue.usedLength));
}
