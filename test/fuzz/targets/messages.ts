import { closeSync, ftruncateSync, openSync } from "node:fs";
import { PstoreDevice } from "../../../src/device/index.js";
import {
  closeDescriptor,
  createEventfd,
  createMemfd,
  receive,
  SystemError,
  send,
  signal,
  socketPair,
} from "../../../src/os/index.js";
import { RECORD_TYPES } from "../../../src/records/index.js";
import { type LogEvent, PlainConnection, Session } from "../../../src/virtio/vhost-user/index.js";
import { patientLoop } from "../../support/in-process.js";
import {
  config,
  HEADER_BYTES,
  header,
  inflight,
  memoryRegion,
  memoryTable,
  message,
  NEED_REPLY,
  NO_FD,
  P_BACKEND_REQ,
  P_CONFIG,
  P_CONFIGURE_MEM_SLOTS,
  P_INFLIGHT_SHMFD,
  P_MQ,
  P_REPLY_ACK,
  P_RESET_DEVICE,
  P_STATUS,
  REPLY,
  type Region,
  u64,
  VERSION,
  VU,
  vringAddress,
  vringState,
} from "../../support/vhost-user-wire.js";
import { openDescriptors, serveGoodGuest } from "../good-guest.js";
import { HostileStore } from "../hostile-store.js";
import { AVAILABLE, HostileMemory, MEMORY_BYTES, TABLE, USED } from "../memory.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

/** What an input's first byte says: queue 0 runs already, or nothing was said yet. */
const RUNNING = 1;
/** What an operation's first byte says; its other bits choose descriptors. */
const SCRIBBLE = 3;

const QUEUES = 3;
const QUEUE_SIZE = 128;

const FEATURES = (1n << 0n) | (1n << 1n) | (1n << 28n) | (1n << 29n) | (1n << 30n) | (1n << 32n);

const PROTOCOL_FEATURES =
  P_MQ |
  P_REPLY_ACK |
  P_BACKEND_REQ |
  P_CONFIG |
  P_INFLIGHT_SHMFD |
  P_RESET_DEVICE |
  P_CONFIGURE_MEM_SLOTS |
  P_STATUS;

/** A message as it is sent. */
interface Passed {
  readonly bytes: Buffer;
  readonly descriptors: readonly number[];
}

/** What a session may say of a driver that starts, of a guest's end, and of a front-end that breaks its rules, or virtio's. */
const CODES = new Set([
  "DRIVER",
  "NO_DRIVER",
  "NO_DUMP",
  "BAD_HEADER",
  "BAD_PAYLOAD",
  "BAD_DESCRIPTORS",
  "BAD_VALUE",
  "UNSUPPORTED",
  "NO_MEMORY",
  "UNSEALED_MEMORY",
  "NO_ROOM",
  "REFUSED",
  "STORE",
  "BAD_ADDRESS",
  "BAD_REGION",
  "CHAIN_TOO_LONG",
  "CHAIN_TOO_LARGE",
  "DESCRIPTOR_OUT_OF_RANGE",
  "HEAD_OUT_OF_RANGE",
  "INDEX_JUMPED",
  "INDIRECT_LENGTH",
  "INDIRECT_NESTED",
  "INDIRECT_NOT_NEGOTIATED",
  "INDIRECT_WITH_NEXT",
  "MISALIGNED_RING",
  "READABLE_AFTER_WRITABLE",
  "RING_SIZE",
  // Of descriptors that can't be what they are passed as, and of the connection's end.
  "EACCES",
  "ECONNRESET",
  "EINVAL",
  "ENODEV",
  "EPERM",
  "EPIPE",
]);

/**
 * vhost-user messages with their descriptors, over a real socket: a connection of its own for each input,
 * to one device that stores records. Between messages the guest's memory changes.
 */
export class Messages implements FuzzTarget {
  readonly #loop = patientLoop();
  readonly #memory = new HostileMemory();
  readonly #kick = createEventfd();
  readonly #closeLater: (() => void)[] = [];
  /** What is passed. */
  readonly #descriptors: readonly number[];
  readonly #start: readonly Passed[];
  readonly #store = new HostileStore();
  readonly #openAtStart: number;

  constructor() {
    const small = createMemfd("small");
    ftruncateSync(small, 4096);
    const [one, other] = socketPair();
    const readOnly = openSync(process.execPath, "r");
    const folder = openSync("/", "r");
    const nothing = openSync("/dev/null", "r+");
    const call = createEventfd();
    const { fd } = this.#memory;
    this.#descriptors = [
      fd,
      this.#kick,
      call,
      fd,
      this.#kick,
      small,
      one,
      readOnly,
      folder,
      nothing,
    ];
    for (const file of [readOnly, folder, nothing]) this.#closeLater.push(() => closeSync(file));
    for (const own of [small, one, other, call]) {
      this.#closeLater.push(() => {
        closeDescriptor(own);
      });
    }
    this.#start = runningQueue(this.#memory, this.#kick, call);
    this.#openAtStart = openDescriptors();
  }

  generate(random: Random): Buffer {
    const parts: Buffer[] = [Buffer.from([random.oneIn(8) ? RUNNING : 0])];
    for (let count = 1 + random.below(3); count > 0; count--) {
      if (random.oneIn(6)) {
        const bytes = Buffer.from([random.interesting32(), random.interesting32()]);
        const place = random.pick([TABLE, AVAILABLE, USED]) + random.below(64);
        parts.push(Buffer.from([SCRIBBLE, place & 0xff, place >> 8, bytes.length]), bytes);
        continue;
      }
      const { request, payload, descriptors } = plausible(random);
      const flags =
        ((random.oneIn(2) ? NEED_REPLY : 0) | (random.oneIn(32) ? random.u32() : 0)) >>> 0;
      const bytes = random.oneIn(32)
        ? header(request, (VERSION | flags) >>> 0, random.interesting32())
        : message(request, payload, flags);
      const chosen = random.oneIn(8) ? random.below(256) : descriptors;
      const head = Buffer.from([(chosen << 2) & 0xff, bytes.length & 0xff, bytes.length >> 8]);
      parts.push(head, bytes);
    }
    return Buffer.concat(parts);
  }

  run(input: Buffer): string {
    this.#memory.reset();
    const log: LogEvent[] = [];
    const push = (event: LogEvent) => log.push(event);
    const [own, other] = socketPair();
    let closed = false;
    const device = new PstoreDevice({
      store: this.#store.get(),
      bufsize: 16384,
      maxData: 65536,
      types: RECORD_TYPES,
      log: push,
    });
    new Session({
      loop: this.#loop.share(),
      connection: new PlainConnection(other),
      device,
      log: push,
      onClose: () => {
        closed = true;
      },
    });
    const reader = new InputReader(input);
    const outcomes = new Set<string>();
    const isRunning = (reader.u8() & RUNNING) !== 0;
    try {
      if (isRunning) this.#runQueue(own);
      while (reader.left > 0 && !closed) this.#do(own, reader);
      this.#loop.turn(0);
      for (const request of replies(own)) outcomes.add(`${request}`);
    } finally {
      closeDescriptor(own);
      for (let turns = 0; turns < 8 && !closed; turns++) this.#loop.turn(0);
    }
    expect(closed, "a connection ends when its front-end is gone");
    for (const { code, message: text } of log) {
      expect(CODES.has(code), `an error has a name: ${code}: ${text}`);
      outcomes.add(code);
    }
    return [isRunning ? "running" : "", ...[...outcomes].sort()].join(" ");
  }

  async check(): Promise<void> {
    await serveGoodGuest(this.#loop);
    this.#store.close();
    const open = openDescriptors();
    expect(
      open === this.#openAtStart,
      `no descriptor is leaked: ${open}, not ${this.#openAtStart}`,
    );
  }

  close(): void {
    this.#store.close();
    for (const close of this.#closeLater) close();
    this.#memory.close();
    closeDescriptor(this.#kick);
    this.#loop.close();
  }

  #runQueue(own: number): void {
    for (const { bytes, descriptors } of this.#start) send(own, bytes, descriptors);
    this.#loop.turn(0);
    // The replies: they aren't what is looked at.
    replies(own);
  }

  /** One operation of an input. */
  #do(own: number, reader: InputReader): void {
    const kind = reader.u8();
    if ((kind & 3) === SCRIBBLE) {
      const place = reader.u16() % MEMORY_BYTES;
      const bytes = reader.bytes(Math.min(reader.u8(), MEMORY_BYTES - place));
      this.#memory.bytes.set(bytes, place);
      signal(this.#kick);
    } else {
      const bytes = reader.bytes(Math.min(reader.u16(), 8192));
      if (bytes.length === 0) return;
      try {
        send(own, bytes, this.#chosen(kind >> 2));
      } catch (error) {
        // The session hung up.
        if (!(error instanceof SystemError) || error.code !== "EPIPE") throw error;
      }
    }
    this.#loop.turn(0);
  }

  /** None, one, one or three of the descriptors, the `bits` beside each other. */
  #chosen(bits: number): number[] {
    const count = [0, 1, 1, 3][bits & 3] ?? 0;
    const from = bits >> 2;
    return Array.from(
      { length: count },
      (_, i) => this.#descriptors[(from + i) % this.#descriptors.length] ?? this.#kick,
    );
  }
}

/** Stands for all numbers of messages that nobody knows. */
const UNKNOWN_REQUEST = 99;

/** The messages that came back, by their number. */
function replies(own: number): number[] {
  const requests: number[] = [];
  for (let received = answers(own); received !== undefined; received = answers(own)) {
    const { bytes, descriptors } = received;
    for (const descriptor of descriptors) closeDescriptor(descriptor);
    let last: number | undefined;
    for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
      expect(bytes.readUInt32LE(at + 4) === (VERSION | REPLY), "an answer is marked as a reply");
      last = bytes.readUInt32LE(at);
      requests.push(Math.min(last, UNKNOWN_REQUEST));
      at += HEADER_BYTES + bytes.readUInt32LE(at + 8);
    }
    // What comes with descriptors ends what recvmsg(2) brings at once.
    const due = last === VU.GET_INFLIGHT_FD ? 1 : 0;
    expect(descriptors.length <= due, `no descriptor comes back with message ${last}`);
  }
  return requests;
}

/** Bytes that came back, with their descriptors; undefined where there are no more. */
function answers(own: number): { bytes: Buffer; descriptors: readonly number[] } | undefined {
  try {
    const { bytes, descriptors } = receive(own, 8192) ?? { bytes: [], descriptors: [] };
    return bytes.length === 0 ? undefined : { bytes: Buffer.from(bytes), descriptors };
  } catch (error) {
    if (error instanceof SystemError && error.code === "ECONNRESET") return undefined;
    throw error;
  }
}

/** All of the memory as one region. */
const WHOLE: Region = {
  guestAddress: 0n,
  size: BigInt(MEMORY_BYTES),
  userAddress: 0x7f00_0000_0000n,
  fileOffset: 0n,
};

/** What QEMU says until a queue runs: messages with their descriptors. */
function runningQueue(memory: HostileMemory, kick: number, call: number): readonly Passed[] {
  return [
    { bytes: message(VU.SET_PROTOCOL_FEATURES, u64(PROTOCOL_FEATURES)), descriptors: [] },
    { bytes: message(VU.SET_FEATURES, u64(FEATURES)), descriptors: [] },
    { bytes: message(VU.ADD_MEM_REG, memoryRegion(WHOLE)), descriptors: [memory.fd] },
    { bytes: message(VU.SET_VRING_NUM, vringState(0, QUEUE_SIZE)), descriptors: [] },
    { bytes: message(VU.SET_VRING_ADDR, vringAddress(0, RINGS)), descriptors: [] },
    { bytes: message(VU.SET_VRING_KICK, u64(0n)), descriptors: [kick] },
    { bytes: message(VU.SET_VRING_CALL, u64(0n)), descriptors: [call] },
    { bytes: message(VU.SET_VRING_ENABLE, vringState(0, 1)), descriptors: [] },
  ];
}

const RINGS = {
  descriptors: WHOLE.userAddress + BigInt(TABLE),
  available: WHOLE.userAddress + BigInt(AVAILABLE),
  used: WHOLE.userAddress + BigInt(USED),
};

interface Plausible {
  readonly request: number;
  readonly payload: Buffer;
  /** The bits that choose its descriptors. */
  readonly descriptors: number;
}

const MEMORY_FD = 1;
const KICK_FD = 1 | (1 << 2);

/** A message that a front-end might send, its numbers mostly right. */
function plausible(random: Random): Plausible {
  const request = random.oneIn(32) ? random.interesting32() : random.pick(Object.values(VU));
  const number = (right: number) => (random.oneIn(8) ? random.interesting32() : right);
  const wide = (right: bigint) => (random.oneIn(8) ? random.interesting64() : right);
  const queue = number(random.below(QUEUES));
  const none = { request, descriptors: 0 };
  const region = (): Region => ({
    guestAddress: wide(BigInt(random.below(4)) * 0x4000n),
    size: wide(random.pick([0x4000n, 0x1000n, BigInt(MEMORY_BYTES)])),
    userAddress: wide(WHOLE.userAddress),
    fileOffset: wide(random.pick([0n, 0x4000n])),
  });
  switch (request) {
    case VU.SET_FEATURES:
      return { ...none, payload: u64(wide(FEATURES)) };
    case VU.SET_PROTOCOL_FEATURES:
      return { ...none, payload: u64(wide(PROTOCOL_FEATURES)) };
    case VU.SET_STATUS:
      return { ...none, payload: u64(wide(BigInt(random.pick([0, 1, 3, 11, 15])))) };
    case VU.SET_MEM_TABLE: {
      const regions = random.oneIn(2) ? [region()] : [region(), region(), region()];
      return { ...none, payload: memoryTable(regions), descriptors: regions.length === 1 ? 1 : 3 };
    }
    case VU.ADD_MEM_REG:
      return {
        request,
        payload: memoryRegion(random.oneIn(2) ? WHOLE : region()),
        descriptors: MEMORY_FD,
      };
    case VU.REM_MEM_REG:
      return { ...none, payload: memoryRegion(random.oneIn(2) ? WHOLE : region()) };
    case VU.SET_VRING_NUM:
      return { ...none, payload: vringState(queue, number(1 << random.below(9))) };
    case VU.SET_VRING_BASE:
    case VU.GET_VRING_BASE:
    case VU.SET_VRING_ENABLE:
      return { ...none, payload: vringState(queue, number(random.below(2))) };
    case VU.SET_VRING_ADDR: {
      const { descriptors, available, used } = RINGS;
      const rings = {
        descriptors: wide(descriptors),
        available: wide(available),
        used: wide(used),
      };
      return { ...none, payload: vringAddress(queue, rings) };
    }
    case VU.SET_VRING_KICK:
    case VU.SET_VRING_CALL:
    case VU.SET_VRING_ERR: {
      const withDescriptor = !random.oneIn(4);
      const value = BigInt(queue) | (withDescriptor ? 0n : NO_FD);
      return { request, payload: u64(value), descriptors: withDescriptor ? KICK_FD : 0 };
    }
    case VU.GET_INFLIGHT_FD:
    case VU.SET_INFLIGHT_FD: {
      const queues = number(1 + random.below(QUEUES)) & 0xffff;
      const size = number(1 << random.below(9)) & 0xffff;
      const bytes = wide(BigInt(random.pick([0x1000, 0x4000, MEMORY_BYTES])));
      const payload = inflight(queues, size, bytes, wide(0n));
      return { request, payload, descriptors: request === VU.SET_INFLIGHT_FD ? MEMORY_FD : 0 };
    }
    case VU.SET_BACKEND_REQ_FD:
      return { request, payload: Buffer.alloc(0), descriptors: 1 | (6 << 2) };
    case VU.GET_CONFIG:
    case VU.SET_CONFIG: {
      const bytes = random.bytes(random.below(40));
      return { ...none, payload: config(number(random.below(32)), number(bytes.length), bytes) };
    }
    default:
      return {
        ...none,
        payload: random.oneIn(4) ? random.bytes(random.below(64)) : Buffer.alloc(0),
      };
  }
}
