import { ftruncateSync, linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createMemfd, Mapping, sealLength } from "../../src/os/index.js";
import { type DriverQueue, NEXT, type Part } from "../../test/support/fake-driver.js";
import { GIB, MIB } from "../../test/support/guest-ram.js";
import { semaphoreNotifier } from "../../test/support/notifier.js";
import { encodeRequest } from "../../test/support/pstore-wire.js";
import {
  config,
  inflight,
  memoryRegion,
  memoryTable,
  P_CONFIG,
  P_INFLIGHT_SHMFD,
  P_MQ,
  u64,
  VU,
  vringState,
} from "../../test/support/vhost-user-wire.js";
import { AttackGuest } from "./attack-guest.js";

const DMESG = 1;
const CONSOLE = 2;
const OPEN = 1;
const READ = 2;
const CLOSE = 5;

const LARGEST_QUEUE = 32768;
/** Files that one file can be linked to: ext4 has no more. */
const MAX_LINKS = 60_000;

/** What an attacker did to the disk. */
export interface Stored {
  records: number;
  bytes: number;
}

/** Something that one guest does all the time, and another must not feel. */
export interface Attack {
  readonly name: string;
  readonly what: string;
  /** Puts into the guest's directory, before it is served, what the attack needs. */
  readonly prepare?: (directory: string) => void;
  /** Gets all ready, calls `begun`, and goes on until the process is ended. */
  run(socket: string, begun: () => void, stored: Stored): Promise<void>;
}

/** So many records in a directory. */
function records(directory: string, count: number): void {
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < count; i++) {
    const first = join(directory, `dmesg-${i - (i % MAX_LINKS) + 1}`);
    if (i % MAX_LINKS === 0) writeFileSync(first, "Oops#1 Part1\na record\n");
    else linkSync(first, join(directory, `dmesg-${i + 1}`));
  }
}

/** Requests of the same kind on three queues, without end. */
async function flood(
  guest: AttackGuest,
  request: (queue: DriverQueue) => number,
  inFlight: number,
  begun: () => void,
  onBack?: (queue: DriverQueue, head: number) => void,
): Promise<void> {
  for (const queue of guest.driver.queues) {
    for (let i = 0; i < inFlight; i++) queue.stage(request(queue));
    queue.announce();
    queue.kick();
  }
  begun();
  await guest.again(onBack);
}

/** Two OPENs a second, or as many as it gets. */
async function openEvery(socket: string, begun: () => void, delayMs?: number): Promise<void> {
  const guest = await AttackGuest.connect(socket);
  if (delayMs === undefined) {
    await flood(guest, (queue) => guest.request(queue, { cmd: OPEN }), 64, begun);
    return;
  }
  begun();
  for (;;) {
    await guest.driver.open();
    await sleep(delayMs);
  }
}

/** A chain of the most descriptors that a queue allows, each of a byte or none. */
function longChain(guest: AttackGuest): Part[] {
  const { ram } = guest;
  const from = ram.allocate(LARGEST_QUEUE);
  const to = ram.allocate(16);
  ram.bytes(from, 24).set(encodeRequest({ cmd: 99 }));
  const parts = Array.from({ length: LARGEST_QUEUE - 1 }, (_, i) => ({
    address: from + BigInt(i),
    length: 1,
    writable: false,
  }));
  return [...parts, { address: to, length: 8, writable: true }];
}

async function sparse(socket: string, gib: number, begun: () => void): Promise<void> {
  const size = BigInt(gib) * GIB;
  const ram = [
    { guestAddress: 0n, size: 64n * MIB },
    { guestAddress: GIB, size },
  ];
  const guest = await AttackGuest.connect(socket, { ram, queue: { size: 512 } });
  const to = guest.ram.allocate(16);
  const parts = () => [
    ...Array.from({ length: gib }, (_, i) => ({
      address: GIB + BigInt(i) * GIB,
      length: 1,
      writable: false,
    })),
    { address: to, length: 8, writable: true },
  ];
  guest.stageOnAll(parts, 32);
  begun();
  await guest.again();
}

/** A region in which every descriptor of three queues of the largest size is in flight. */
function inflightFile(): { fd: number; size: bigint } {
  const queueBytes = Math.ceil((16 + 16 * LARGEST_QUEUE) / 64) * 64;
  const size = BigInt(3 * queueBytes);
  const fd = createMemfd("inflight");
  ftruncateSync(fd, Number(size));
  sealLength(fd);
  const mapping = new Mapping(fd, 0n, size);
  const view = new DataView(mapping.view(0n, Number(size)));
  for (let queue = 0; queue < 3; queue++) {
    const at = queue * queueBytes;
    view.setUint16(at + 8, 1, true);
    view.setUint16(at + 10, LARGEST_QUEUE, true);
    for (let i = 0; i < LARGEST_QUEUE; i++) {
      view.setUint8(at + 16 + 16 * i, 1);
      view.setBigUint64(at + 24 + 16 * i, BigInt((i * 7919) % LARGEST_QUEUE), true);
    }
  }
  return { fd, size };
}

/** Pipelined: the messages aren't acknowledged. */
async function withoutAcknowledgement(guest: AttackGuest): Promise<void> {
  const features = P_MQ | P_CONFIG | P_INFLIGHT_SHMFD;
  await guest.push(VU.SET_PROTOCOL_FEATURES, u64(features));
  guest.frontEnd.protocolFeatures = features;
  await guest.frontEnd.barrier();
}

async function flapping(socket: string, begun: () => void, region: boolean): Promise<void> {
  const guest = await AttackGuest.connect(socket, { queue: { size: LARGEST_QUEUE } });
  await withoutAcknowledgement(guest);
  const { fd, size } = inflightFile();
  const share = () => guest.push(VU.SET_INFLIGHT_FD, inflight(3, LARGEST_QUEUE, size), [fd]);
  await share();
  begun();
  for (let i = 0; ; i++) {
    const index = i % 3;
    await guest.push(VU.SET_VRING_ENABLE, vringState(index, 0));
    await guest.push(VU.SET_VRING_ENABLE, vringState(index, 1));
    if (region) await share();
    if (i % 64 === 0) await guest.frontEnd.barrier();
  }
}

async function memory(socket: string, begun: () => void): Promise<void> {
  const ram = Array.from({ length: 8 }, (_, i) => ({
    guestAddress: BigInt(i) * GIB,
    size: GIB,
  }));
  const guest = await AttackGuest.connect(socket, { ram, queue: { size: LARGEST_QUEUE } });
  await withoutAcknowledgement(guest);
  const { regions } = guest.ram;
  const fds = regions.map(({ fd }) => fd);
  const [last] = regions.slice(-1);
  if (last === undefined) return;
  begun();
  for (let i = 0; ; i++) {
    await guest.push(VU.SET_MEM_TABLE, memoryTable(regions), fds);
    await guest.push(VU.REM_MEM_REG, memoryRegion(last));
    await guest.push(VU.ADD_MEM_REG, memoryRegion(last), [last.fd]);
    if (i % 32 === 0) await guest.frontEnd.barrier();
  }
}

const text = (bytes: number) => Buffer.alloc(bytes, "Oops#1 Part1\n");

async function writes(
  socket: string,
  begun: () => void,
  stored: Stored,
  bytes: number,
  inFlight: number,
): Promise<void> {
  const guest = await AttackGuest.connect(socket);
  const responses = new Map<DriverQueue, Map<number, Buffer>>();
  const write = (queue: DriverQueue) => {
    const { head, writable } = guest.driver.prepareWrite({ type: DMESG }, text(bytes), queue);
    responses.set(queue, (responses.get(queue) ?? new Map()).set(head, writable));
    return head;
  };
  await flood(guest, write, inFlight, begun, (queue, head) => {
    if (responses.get(queue)?.get(head)?.readInt32LE(4) !== 0) return;
    stored.records++;
    stored.bytes += bytes;
  });
}

async function boots(socket: string, begun: () => void, stored: Stored): Promise<void> {
  begun();
  for (;;) {
    const guest = await AttackGuest.connect(socket).catch(() => undefined);
    if (guest === undefined) {
      await sleep(1);
      continue;
    }
    await guest.driver.write({ type: CONSOLE }, text(100));
    stored.records++;
    stored.bytes += 100;
    guest.close();
  }
}

async function largeReads(socket: string, begun: () => void): Promise<void> {
  const bytes = 16 << 20;
  const first = await AttackGuest.connect(socket);
  for (let i = 0; i < 48; i++) await first.driver.write({ type: CONSOLE }, text(1 << 20));
  first.close();
  await sleep(200);
  const guest = await AttackGuest.connect(socket, {
    ram: [{ guestAddress: 0n, size: 256n * MIB }],
  });
  const [queue] = guest.driver.queues;
  if (queue === undefined) return;
  const heads = [
    guest.request(queue, { cmd: OPEN }),
    guest.request(queue, { cmd: READ }, 48 + bytes),
  ];
  for (let i = 0; i < 8; i++) for (const head of heads) queue.stage(head);
  queue.announce();
  queue.kick();
  begun();
  await guest.again();
}

/** All attackers at the same moments: each rests until its next. */
async function inStep(socket: string, begun: () => void): Promise<void> {
  const guest = await AttackGuest.connect(socket);
  const heads = guest.driver.queues.map((queue) =>
    Array.from({ length: 100 }, () => guest.request(queue, { cmd: CLOSE })),
  );
  begun();
  for (;;) {
    await sleep(500 - (Date.now() % 500));
    const until = performance.now() + 100;
    guest.driver.queues.forEach((queue, i) => {
      for (const head of heads[i] ?? []) queue.stage(head);
      queue.announce();
      queue.kick();
    });
    let out = 300;
    while (out > 0) {
      for (const queue of guest.driver.queues) {
        for (let head = queue.collect(); head >= 0; head = queue.collect()) {
          if (performance.now() < until) queue.offer(head);
          else out--;
        }
      }
      await sleep(0);
    }
  }
}

export const ATTACKS: readonly Attack[] = [
  {
    name: "chains",
    what: "chains of 32,768 descriptors on three queues",
    run: async (socket, begun) => {
      const guest = await AttackGuest.connect(socket, { queue: { size: LARGEST_QUEUE } });
      guest.stageOnAll(() => longChain(guest), 64);
      begun();
      await guest.again();
    },
  },
  {
    name: "loops",
    what: "malformed chains that lead back to themselves, on three queues of 32,768",
    run: async (socket, begun) => {
      const guest = await AttackGuest.connect(socket, { queue: { size: LARGEST_QUEUE } });
      for (const queue of guest.driver.queues) {
        queue.writeDescriptor(0, { address: 0n, length: 0, flags: NEXT, next: 0 });
        for (let i = 0; i < 512; i++) queue.stage(0);
        queue.announce();
        queue.kick();
      }
      begun();
      await guest.again();
    },
  },
  {
    name: "kicks",
    what: "small requests and kicks without end on three queues",
    run: async (socket, begun) => {
      const guest = await AttackGuest.connect(socket);
      await flood(guest, (queue) => guest.request(queue, { cmd: CLOSE }), 100, begun);
    },
  },
  { name: "in-step", what: "the same, all attackers in the same moments", run: inStep },
  {
    name: "open",
    what: "OPEN without end on three queues, 4,000 records",
    prepare: (directory) => {
      records(directory, 4000);
    },
    run: (socket, begun) => openEvery(socket, begun),
  },
  {
    name: "open-many",
    what: "two OPENs a second, 100,000 records",
    prepare: (directory) => {
      records(directory, 100_000);
    },
    run: (socket, begun) => openEvery(socket, begun, 500),
  },
  {
    name: "open-write",
    what: "a WRITE and an OPEN in turn, 4,000 records",
    prepare: (directory) => {
      records(directory, 4000);
    },
    run: async (socket, begun, stored) => {
      const guest = await AttackGuest.connect(socket);
      begun();
      for (;;) {
        await guest.driver.write({ type: DMESG }, text(100));
        stored.records++;
        stored.bytes += 100;
        await guest.driver.open();
      }
    },
  },
  {
    name: "enable",
    what: "SET_VRING_ENABLE without end, 3 x 32,768 chains said to be in flight",
    run: (socket, begun) => flapping(socket, begun, false),
  },
  {
    name: "in-flight",
    what: "the same, and SET_INFLIGHT_FD each time",
    run: (socket, begun) => flapping(socket, begun, true),
  },
  { name: "memory", what: "SET_MEM_TABLE, ADD_ and REM_MEM_REG without end", run: memory },
  {
    name: "config",
    what: "GET_CONFIG without end",
    run: async (socket, begun) => {
      const guest = await AttackGuest.connect(socket);
      begun();
      for (;;) {
        for (let i = 0; i < 32; i++) await guest.push(VU.GET_CONFIG, config(0, 32));
        for (let i = 0; i < 32; i++) await guest.frontEnd.receive();
      }
    },
  },
  {
    name: "sparse-64",
    what: "requests of a byte in each of 64 GiB",
    run: (socket, begun) => sparse(socket, 64, begun),
  },
  {
    name: "sparse-256",
    what: "requests of a byte in each of 256 GiB",
    run: (socket, begun) => sparse(socket, 256, begun),
  },
  {
    name: "full-room",
    what: "small dumps without end, the room is full",
    prepare: (directory) => {
      records(directory, 1000);
    },
    run: (socket, begun, stored) => writes(socket, begun, stored, 100, 64),
  },
  {
    name: "dumps",
    what: "dumps of 1 MiB without end",
    run: (socket, begun, stored) => writes(socket, begun, stored, 1 << 20, 8),
  },
  {
    name: "erase",
    what: "a WRITE and its ERASE in turn",
    run: async (socket, begun, stored) => {
      const guest = await AttackGuest.connect(socket);
      begun();
      for (let id = 1n; ; id++) {
        await guest.driver.write({ type: DMESG }, text(100));
        await guest.driver.erase(DMESG, id);
        stored.records += 2;
        stored.bytes += 100;
      }
    },
  },
  { name: "boots", what: "connections that write a line of console and end", run: boots },
  { name: "reads", what: "READs of a console into 16 MiB", run: largeReads },
  {
    name: "semaphore",
    what: "kick descriptors that never become empty",
    run: async (socket, begun) => {
      const guest = await AttackGuest.connect(socket);
      for (const index of guest.driver.queues.keys()) {
        const kick = semaphoreNotifier();
        await guest.kickWith(index, kick.passed);
        kick.close();
      }
      begun();
      await guest.again();
    },
  },
];
