import {
  closeDescriptor,
  connectUnix,
  receive,
  SystemError,
  send,
  setNonBlocking,
  socketPair,
} from "../../src/os/index.js";
import type { DriverQueue } from "./fake-driver.js";
import { frontEndMode } from "./front-end-mode.js";
import type { GuestRam, RamRegion } from "./guest-ram.js";
import { until } from "./patience.js";
import {
  HEADER_BYTES,
  memoryRegion,
  memoryTable,
  message,
  NEED_REPLY,
  NO_FD,
  P_REPLY_ACK,
  REPLY,
  u64,
  VERSION,
  VU,
  vringAddress,
  vringState,
} from "./vhost-user-wire.js";

/** Lets the back-end work: a turn of its loop in this thread, or a moment's wait for another process. */
export type Pump = () => void | Promise<void>;

/** For a back-end in another process: gives the processor away and looks again. */
export const otherProcess: Pump = () => new Promise((resolve) => setImmediate(resolve));

/** A message from the back-end. */
export interface Incoming {
  readonly request: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** Takes messages off one stream socket. */
class Incomings {
  readonly #fd: number;
  #bytes = Buffer.alloc(0);
  ended = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  next(): Incoming | undefined {
    this.#fill();
    if (this.#bytes.length < HEADER_BYTES) return undefined;
    const end = HEADER_BYTES + this.#bytes.readUInt32LE(8);
    if (this.#bytes.length < end) return undefined;
    const incoming = {
      request: this.#bytes.readUInt32LE(0),
      flags: this.#bytes.readUInt32LE(4),
      payload: this.#bytes.subarray(HEADER_BYTES, end),
    };
    this.#bytes = this.#bytes.subarray(end);
    return incoming;
  }

  /** Everything that came and was not taken, read for good. */
  #fill(): void {
    try {
      for (;;) {
        const received = this.ended ? undefined : receive(this.#fd, 4096);
        if (received === undefined) return;
        for (const fd of received.descriptors) closeDescriptor(fd);
        if (received.bytes.length === 0) this.ended = true;
        this.#bytes = Buffer.concat([this.#bytes, received.bytes]);
      }
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== "ECONNRESET") throw error;
      this.ended = true;
    }
  }
}

export class HungUpError extends Error {}

const HUNG_UP = "the back-end closed the connection";

/**
 * A vhost-user front-end on a real socket. Its methods say what goes over the wire; the order in which
 * real front-ends say it is in negotiations.ts.
 */
export class FakeFrontEnd {
  readonly fd: number;
  readonly pump: Pump;
  /** What was negotiated: set by whoever negotiates. */
  protocolFeatures = 0n;
  /** How many messages the back-end refused, where its log is at hand. */
  refusals: (() => number) | undefined;
  /** Requests whose replies were taken for granted and are still to come, while queueing. */
  #owed: number[] | undefined;
  readonly #incomings: Incomings;
  #channel: { readonly fd: number; readonly incomings: Incomings } | undefined;
  #open = true;

  /** Takes `fd`, a connected stream socket, over. */
  constructor(fd: number, pump: Pump) {
    setNonBlocking(fd);
    this.fd = fd;
    this.pump = pump;
    this.#incomings = new Incomings(fd);
  }

  /** Connects to a back-end that listens at `path`. */
  static connect(path: string, pump: Pump = otherProcess): FakeFrontEnd {
    return new FakeFrontEnd(connectUnix(path), pump);
  }

  get hasReplyAck(): boolean {
    return (this.protocolFeatures & P_REPLY_ACK) !== 0n;
  }

  /** Lets the back-end work until `condition` holds; throws what was waited for where it never does. */
  async until(condition: () => boolean, what: string): Promise<void> {
    await until(condition, () => `it never came: ${what}`, this.pump);
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    if (!send(this.fd, bytes, descriptors)) throw new Error("the back-end's socket is full");
  }

  /** Sends a message and waits for nothing. Throws HungUpError, as receive() does. */
  send(
    request: number,
    payload?: Uint8Array,
    descriptors: readonly number[] = [],
    flags = 0,
  ): void {
    const bytes = message(request, payload, flags);
    try {
      if (frontEndMode().speech !== "bytewise") {
        this.sendBytes(bytes, descriptors);
        return;
      }
      for (const [i, byte] of bytes.entries()) {
        this.sendBytes(Uint8Array.of(byte), i === 0 ? descriptors : []);
        void this.pump();
      }
    } catch (error) {
      throw error instanceof SystemError && error.code === "EPIPE"
        ? new HungUpError(HUNG_UP)
        : error;
    }
  }

  /**
   * Has ask() believe what it is told to expect, and tell() that it succeeded, until caughtUp(): so nothing is
   * waited for.
   */
  queue(): void {
    this.#owed ??= [];
  }

  /** The end of queueing: everything that was sent is handled. Throws where some of it was refused. */
  async caughtUp(): Promise<void> {
    const before = this.refusals?.();
    const owed = this.#owed ?? [];
    this.#owed = undefined;
    for (const request of owed) await this.#reply(request);
    await this.barrier();
    if (this.refusals?.() !== before) throw new Error("the back-end refused a queued message");
  }

  /** The next message of the back-end, whatever it is. */
  async receive(): Promise<Incoming> {
    let incoming = this.#incomings.next();
    await this.until(() => {
      incoming ??= this.#incomings.next();
      return incoming !== undefined || this.#incomings.ended;
    }, "a message from the back-end");
    if (incoming === undefined) throw new HungUpError(HUNG_UP);
    return incoming;
  }

  /** Takes the messages that are there already, and returns how many there were. */
  waitingMessages(): number {
    let count = 0;
    while (this.#incomings.next() !== undefined) count++;
    return count;
  }

  /**
   * Sends a message that has a reply of its own, and returns the reply's payload: the one that is `expected`,
   * while queueing.
   */
  async ask(request: number, payload?: Uint8Array, expected?: Buffer): Promise<Buffer> {
    if (this.#owed !== undefined && expected !== undefined) {
      this.send(request, payload);
      this.#owed.push(request);
      return expected;
    }
    if (this.#owed !== undefined) await this.caughtUp();
    this.send(request, payload);
    return this.#reply(request);
  }

  async #reply(request: number): Promise<Buffer> {
    const reply = await this.receive();
    if (reply.request !== request || reply.flags !== (VERSION | REPLY)) {
      throw new Error(`a reply to ${reply.request} with flags ${reply.flags} came for ${request}`);
    }
    return reply.payload;
  }

  async askU64(request: number, expected?: bigint): Promise<bigint> {
    const bytes = expected === undefined ? undefined : u64(expected);
    return (await this.ask(request, undefined, bytes)).readBigUInt64LE();
  }

  /**
   * Sends a message without a reply of its own. Where REPLY_ACK is negotiated, asks for one and returns
   * it (0 is success); otherwise it looks into the back-end's log where that is at hand, or else, and while
   * queueing, returns 0 at once.
   */
  async tell(
    request: number,
    payload?: Uint8Array,
    descriptors: readonly number[] = [],
  ): Promise<bigint> {
    if (!this.hasReplyAck) {
      const before = this.refusals?.() ?? 0;
      this.send(request, payload, descriptors);
      if (this.#owed !== undefined || this.refusals === undefined) return 0n;
      await this.barrier();
      return BigInt(this.refusals() - before);
    }
    this.send(request, payload, descriptors, NEED_REPLY);
    const reply = await this.receive();
    if (
      reply.request !== request ||
      reply.flags !== (VERSION | REPLY) ||
      reply.payload.length !== 8
    ) {
      throw new Error(
        `a reply to ${reply.request} with flags ${reply.flags} and ${reply.payload.length} bytes came for ${request}`,
      );
    }
    return reply.payload.readBigUInt64LE();
  }

  /** As tell(), and throws where the back-end refuses. */
  async must(
    request: number,
    payload?: Uint8Array,
    descriptors: readonly number[] = [],
  ): Promise<void> {
    const answer = await this.tell(request, payload, descriptors);
    if (answer !== 0n) throw new Error(`the back-end answered ${answer} to message ${request}`);
  }

  /** Waits until everything that was sent has been handled. */
  async barrier(): Promise<void> {
    await this.ask(VU.GET_FEATURES);
  }

  /** Waits for the end of the connection, and throws where a message comes instead. */
  async ended(): Promise<void> {
    await this.until(() => {
      const incoming = this.#incomings.next();
      if (incoming !== undefined) throw new Error(`message ${incoming.request} came, not the end`);
      return this.#incomings.ended;
    }, "the end of the connection");
  }

  async setMemoryTable(ram: GuestRam, slots?: number): Promise<bigint> {
    const descriptors = ram.regions.map((region) => region.fd);
    return this.tell(VU.SET_MEM_TABLE, memoryTable(ram.regions, slots), descriptors);
  }

  async addRegion(region: RamRegion): Promise<bigint> {
    return this.tell(VU.ADD_MEM_REG, memoryRegion(region), [region.fd]);
  }

  async removeRegion(region: RamRegion): Promise<bigint> {
    return this.tell(VU.REM_MEM_REG, memoryRegion(region));
  }

  async setRingAddress(index: number, queue: DriverQueue): Promise<bigint> {
    const addresses = {
      descriptors: queue.ram.userAddress(queue.descriptors),
      available: queue.ram.userAddress(queue.available),
      used: queue.ram.userAddress(queue.used),
    };
    return this.tell(VU.SET_VRING_ADDR, vringAddress(index, addresses));
  }

  async setRingState(request: number, index: number, num: number): Promise<bigint> {
    return this.tell(request, vringState(index, num));
  }

  /** SET_VRING_KICK, CALL or ERR; without a descriptor it sets the bit that says so. */
  async setRingDescriptor(request: number, index: number, fd?: number): Promise<bigint> {
    return fd === undefined
      ? this.tell(request, u64(BigInt(index) | NO_FD))
      : this.tell(request, u64(BigInt(index)), [fd]);
  }

  /** GET_VRING_BASE: stops the ring and returns the index of the next chain that was not taken. */
  async getRingBase(index: number): Promise<number> {
    const payload = await this.ask(VU.GET_VRING_BASE, vringState(index, 0));
    if (payload.length !== 8 || payload.readUInt32LE(0) !== index) {
      throw new Error("GET_VRING_BASE's reply is no state of the ring that was asked for");
    }
    return payload.readUInt32LE(4);
  }

  /** SET_BACKEND_REQ_FD with a channel of its own. */
  async openChannel(): Promise<bigint> {
    const [own, passed] = socketPair();
    const answer = await this.tell(VU.SET_BACKEND_REQ_FD, undefined, [passed]);
    // Without REPLY_ACK the message may still be on its way; the descriptor travels with it.
    closeDescriptor(passed);
    if (this.#channel !== undefined) closeDescriptor(this.#channel.fd);
    this.#channel = { fd: own, incomings: new Incomings(own) };
    return answer;
  }

  /** The next message of the back-end on its own channel; undefined where there is none. */
  channelMessage(): Incoming | undefined {
    return this.#channel?.incomings.next();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#channel !== undefined) closeDescriptor(this.#channel.fd);
    closeDescriptor(this.fd);
  }
}
