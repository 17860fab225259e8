import {
  closeDescriptor,
  errno,
  errnoOf,
  hasReader,
  POLLIN,
  poll,
  type Share,
  SystemError,
  send,
  setNonBlocking,
} from "../../os/index.js";
import { MAX_QUEUE_SIZE, VirtqueueError } from "../virtqueue/index.js";
import type { Connection } from "./connection.js";
import type { DriverActivity, LogEvent, StartedDriver, VirtioDevice } from "./device.js";
import { DriverStart } from "./driver-start.js";
import { createInflight, InflightMemory } from "./inflight-memory.js";
import { MAX_MEMORY_SLOTS, MemoryTable } from "./memory-table.js";
import { END, type ReceivedMessage } from "./message-reader.js";
import {
  BackEndMessage,
  bit,
  decodeConfigAccess,
  decodeInflight,
  decodeMemoryRegion,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddress,
  decodeVringState,
  encodeInflight,
  encodeMessage,
  encodeU64,
  Feature,
  FLAG_NEED_REPLY,
  FLAG_REPLY,
  FLAG_VERSION_1,
  FrontEndMessage,
  messageName,
  ProtocolError,
  ProtocolFeature,
  VRING_INDEX_MASK,
  VRING_NO_FD,
} from "./protocol.js";
import type { DescriptorName, SessionState } from "./session-state.js";
import { Vring } from "./vring.js";

const TRANSPORT_FEATURES =
  bit(Feature.RING_INDIRECT_DESC) |
  bit(Feature.RING_EVENT_IDX) |
  bit(Feature.VHOST_USER_F_PROTOCOL_FEATURES) |
  bit(Feature.VERSION_1);

const PROTOCOL_FEATURES =
  bit(ProtocolFeature.MQ) |
  bit(ProtocolFeature.REPLY_ACK) |
  bit(ProtocolFeature.BACKEND_REQ) |
  bit(ProtocolFeature.CONFIG) |
  bit(ProtocolFeature.INFLIGHT_SHMFD) |
  bit(ProtocolFeature.RESET_DEVICE) |
  bit(ProtocolFeature.CONFIGURE_MEM_SLOTS) |
  bit(ProtocolFeature.STATUS);

/** Messages that take rings or memory away: they wait until nothing is in flight. */
const WAITS_UNTIL_IDLE = new Set<number>([
  FrontEndMessage.RESET_OWNER,
  FrontEndMessage.SET_INFLIGHT_FD,
  FrontEndMessage.SET_MEM_TABLE,
  FrontEndMessage.SET_VRING_ADDR,
  FrontEndMessage.GET_VRING_BASE,
  FrontEndMessage.SET_VRING_ENABLE,
  FrontEndMessage.RESET_DEVICE,
  FrontEndMessage.REM_MEM_REG,
  FrontEndMessage.SET_STATUS,
]);

/** Messages that say where the guest's memory is. */
const TELLS_MEMORY = new Set<number>([
  FrontEndMessage.SET_MEM_TABLE,
  FrontEndMessage.ADD_MEM_REG,
  FrontEndMessage.REM_MEM_REG,
]);

/** What a session is made with. */
export interface SessionOptions {
  /** The guest's, which nobody else has a part of. */
  readonly loop: Share;
  /** A front-end's, which the session closes. */
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly log?: (event: LogEvent) => void;
  /** The connection is gone and everything of it is closed. */
  readonly onClose?: () => void;
}

/** One front-end's connection: negotiation, memory, vrings (vhost-user, "Front-end message types"). */
export class Session {
  readonly #loop: Share;
  readonly #connection: Connection;
  readonly #device: VirtioDevice;
  readonly #log: (event: LogEvent) => void;
  readonly #onClose: () => void;
  readonly #memory: MemoryTable;
  readonly #vrings: Vring[];
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0;
  #ran = false;
  #configRead = 0;
  #connectedMs = Date.now();
  #driver: DriverActivity = { state: "none", sinceMs: this.#connectedMs };
  readonly #driverStart: DriverStart;
  #backEndChannel: { readonly fd: number; readonly name: DescriptorName } | undefined;
  #inflight: InflightMemory | undefined;
  /** Which message left the guest without memory, and how. */
  #memoryLost: string | undefined;
  /** The names of descriptors that a former process left, while the session is restored. */
  readonly #restored = new Map<number, DescriptorName>();
  /** What goes on once nothing is in flight; no message is read until then. */
  readonly #whenIdle: (() => void)[] = [];
  #closed = false;
  /** What a former process was sent can't be used any more: its front-end may be why that one ended. */
  resumeFailed = false;

  constructor(options: SessionOptions) {
    this.#loop = options.loop;
    this.#connection = options.connection;
    this.#device = options.device;
    this.#log = options.log ?? (() => undefined);
    this.#onClose = options.onClose ?? (() => undefined);
    const session = this;
    const nameOf = (fd: number) => this.#restored.get(fd) ?? this.#connection.nameOf(fd);
    this.#driverStart = new DriverStart({
      loop: options.loop,
      messagesWait: () => poll(this.#connection.fd, POLLIN) !== 0,
      started: (queues) => {
        this.#device.started?.({ queues, configRead: this.#configRead });
      },
    });
    this.#memory = new MemoryTable(nameOf, () => {
      this.#warnUnsealed("the guest's memory");
    });
    this.#vrings = Array.from(
      { length: options.device.queueCount },
      (_, index) =>
        new Vring(index, {
          loop: options.loop,
          device: options.device,
          memory: this.#memory.memory,
          get features() {
            return session.#features;
          },
          inflight: (queue, size) => this.#inflight?.region(queue, size),
          get whyNoMemory() {
            return session.#memoryLost ?? "the VMM named none, as QEMU does without share=on";
          },
          log: this.#log,
          nameOf,
          completed: () => {
            this.#driverStart.answered();
            if (this.#whenIdle.length > 0 && this.#runIdle() && !this.#closed) this.#watch();
          },
          fail: (error) => {
            this.#fail(error);
          },
        }),
    );
    this.#watch();
    const { savedState } = this.#connection;
    if (savedState !== undefined) this.#restore(savedState);
    this.#connection.resumed();
    // A message may be there whole, but for its being handled.
    this.#loop.defer(() => {
      this.#readable();
    });
  }

  /** Waits for chains in flight, to end or to go on: whether its front-end is gone isn't known yet. */
  get waiting(): boolean {
    return this.#closed || this.#whenIdle.length > 0;
  }

  /** Since when the front-end is connected, in milliseconds since 1970. */
  get connectedMs(): number {
    return this.#connectedMs;
  }

  get driver(): DriverActivity {
    return this.#driver;
  }

  /** What the driver has set up by now. */
  get started(): StartedDriver {
    return { queues: this.#running, configRead: this.#configRead };
  }

  /** Tells the front-end that the configuration space changed; false where it can't be told. */
  notifyConfigChange(): boolean {
    const fd = this.#backEndChannel?.fd;
    if (fd === undefined || !this.#negotiated(ProtocolFeature.CONFIG)) return false;
    const message = encodeMessage(
      BackEndMessage.CONFIG_CHANGE_MSG,
      FLAG_VERSION_1,
      Buffer.alloc(0),
    );
    try {
      return send(fd, message);
    } catch {
      return false;
    }
  }

  /** Ends the connection once nothing is in flight, or leaves it to another process where it is kept. */
  close(how: "end" | "leave" = "end"): void {
    if (how === "end") this.#hearLastWords();
    this.#close(how);
  }

  /** `gone`: the front-end has ended it. */
  #close(how: "end" | "leave" | "gone"): void {
    if (this.#closed) return;
    this.#closed = true;
    if (how !== "leave") this.#driverStart.tell();
    this.#unwatch();
    this.#idle(() => {
      for (const vring of this.#vrings) vring.close();
      this.#memory.clear();
      this.#inflight?.unmap();
      if (this.#backEndChannel !== undefined) closeDescriptor(this.#backEndChannel.fd);
      // First: a process that dies in between does it again.
      if (how === "gone") {
        this.#device.gone?.({
          connectedMs: this.#connectedMs,
          driver: this.#driver.state,
          tellsStops: this.#negotiated(ProtocolFeature.STATUS),
        });
      }
      if (how === "leave") {
        this.#connection.leave();
      } else {
        this.#connection.close();
        this.#device.close();
      }
      this.#onClose();
    });
  }

  /** Where the front-end has gone already, as a VMM that ended before us: what it said last, and its end. */
  #hearLastWords(): void {
    if (this.#closed || hasReader(this.#connection.fd)) return;
    try {
      while (!this.#closed && this.#whenIdle.length === 0) {
        const message = this.#connection.next();
        if (message === undefined) return;
        if (message === END) this.#close("gone");
        else this.#dispatch(message);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #watch(): void {
    this.#loop.watch(this.#connection.fd, () => {
      this.#readable();
    });
  }

  #unwatch(): void {
    this.#loop.unwatch(this.#connection.fd);
  }

  #readable(): void {
    try {
      // What is left is readable in another turn.
      do {
        if (this.#closed || this.#whenIdle.length > 0) return;
        const message = this.#connection.next();
        if (message === undefined) return;
        if (message === END) {
          this.#close("gone");
          return;
        }
        this.#dispatch(message);
      } while (!this.#loop.isTurnOver);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Does `task` at once, or when the last chain in flight is given back. */
  #idle(task: () => void): void {
    for (const vring of this.#vrings) vring.quiesce();
    this.#whenIdle.push(task);
    if (!this.#runIdle()) this.#unwatch();
  }

  #runIdle(): boolean {
    if (this.#vrings.some((vring) => vring.inFlight > 0)) return false;
    for (const task of this.#whenIdle.splice(0)) task();
    return true;
  }

  #dispatch(message: ReceivedMessage): void {
    if (!WAITS_UNTIL_IDLE.has(message.request)) {
      this.#answer(message);
      return;
    }
    this.#idle(() => {
      try {
        this.#answer(message, "resume rings");
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** Memory that rings lie in, or that notes what they have in flight, is about to go. */
  #suspendRings(): void {
    for (const vring of this.#vrings) vring.suspend();
  }

  #resumeRings(): void {
    for (const vring of this.#vrings) {
      try {
        vring.resume();
      } catch (error) {
        this.#complain(error, `queue ${vring.index}`);
      }
    }
  }

  /** Handles one message and answers it. Throws what must end the connection. */
  #answer(message: ReceivedMessage, then?: "resume rings"): void {
    const name = messageName(message.request);
    let reply: Uint8Array | "sent" | undefined;
    let failed = false;
    let outcome = "left none";
    // Descriptors that nobody takes over are closed here.
    const descriptors = [...message.descriptors];
    try {
      reply = this.#handle(message, descriptors);
    } catch (error) {
      failed = true;
      this.#complain(error, name);
      reply = this.#errorReply(message.request, error);
      outcome = `failed: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      for (const fd of descriptors) closeDescriptor(fd);
    }
    if (TELLS_MEMORY.has(message.request) && this.#memory.states.length === 0) {
      this.#memoryLost = `${name} ${outcome}`;
    }
    if (then !== undefined && !this.#closed) this.#resumeRings();
    this.#look();
    const acknowledge =
      (message.flags & FLAG_NEED_REPLY) !== 0 && this.#negotiated(ProtocolFeature.REPLY_ACK);
    if (acknowledge) reply ??= encodeU64(failed ? 1n : 0n);
    const flags = FLAG_VERSION_1 | FLAG_REPLY;
    this.#connection.done(
      () => this.#state(),
      reply === undefined || reply === "sent"
        ? undefined
        : encodeMessage(message.request, flags, reply),
    );
  }

  /** What another process needs to go on with this session. */
  #state(): SessionState {
    return {
      features: this.#features,
      protocolFeatures: this.#protocolFeatures,
      status: this.#status,
      ran: this.#ran,
      configRead: this.#configRead,
      connectedMs: this.#connectedMs,
      driver: this.#driver,
      config: Buffer.from(this.#device.readConfig()).toString("hex"),
      regions: this.#memory.states,
      memoryLost: this.#memoryLost,
      vrings: this.#vrings.map((vring) => vring.state),
      backEndChannel: this.#backEndChannel?.name,
      inflight: this.#inflight?.state,
    };
  }

  /** Goes on where a former process ended. */
  #restore(state: SessionState): void {
    const take = (name: DescriptorName | undefined): number | undefined => {
      if (name === undefined) return undefined;
      const fd = this.#connection.descriptor(name);
      this.#restored.set(fd, name);
      return fd;
    };
    try {
      this.#features = state.features;
      this.#protocolFeatures = state.protocolFeatures;
      this.#status = state.status;
      this.#ran = state.ran;
      this.#configRead = state.configRead;
      this.#connectedMs = state.connectedMs;
      this.#driver = state.driver;
      this.#device.negotiated(this.#features & this.#device.features);
      this.#device.writeConfig(0, Buffer.from(state.config, "hex"));
      this.#memoryLost = state.memoryLost;
      for (const region of state.regions) {
        this.#memory.restore(region, this.#connection.descriptor(region.file));
      }
      this.#setBackEndChannel(take(state.backEndChannel));
      const { inflight } = state;
      if (inflight !== undefined) {
        const fd = this.#connection.descriptor(inflight.file);
        this.#inflight = new InflightMemory(inflight, fd, this.#vrings.length);
      }
      this.#vrings.forEach((vring, i) => {
        const ring = state.vrings[i];
        if (ring === undefined) return;
        const { kick, call, err } = ring;
        const descriptors = { kick: take(kick), call: take(call), err: take(err) };
        try {
          vring.restore(ring, descriptors);
        } catch (error) {
          this.#complain(error, `queue ${i}`);
        }
      });
      this.#look();
    } catch (error) {
      this.resumeFailed = true;
      // Whoever makes this session doesn't have it yet.
      this.#loop.defer(() => {
        this.#fail(error);
      });
    }
    this.#restored.clear();
  }

  #warnUnsealed(what: string): void {
    this.#log({
      level: "warn",
      code: "UNSEALED_MEMORY",
      message: `${what} isn't sealed against being shortened (F_SEAL_SHRINK): its front-end could end this process`,
    });
  }

  #setBackEndChannel(fd: number | undefined): void {
    if (this.#backEndChannel !== undefined) closeDescriptor(this.#backEndChannel.fd);
    this.#backEndChannel =
      fd === undefined
        ? undefined
        : { fd, name: this.#restored.get(fd) ?? this.#connection.nameOf(fd) };
    if (fd !== undefined) setNonBlocking(fd);
  }

  /**
   * What a message with a reply of its own is answered when it fails: the front-end waits for it, and
   * takes a REPLY_ACK for the reply. Throws where the reply has no way to tell of an error.
   */
  #errorReply(request: number, error: unknown): Uint8Array | undefined {
    if (request === FrontEndMessage.GET_CONFIG) return Buffer.alloc(0);
    if (request === FrontEndMessage.GET_VRING_BASE) throw error;
    return undefined;
  }

  #negotiated(feature: number): boolean {
    return (this.#protocolFeatures & bit(feature)) !== 0n;
  }

  /** Does what a message asks for and returns the reply's payload where it has one of its own. */
  #handle(message: ReceivedMessage, descriptors: number[]): Uint8Array | "sent" | undefined {
    switch (message.request) {
      case FrontEndMessage.GET_FEATURES:
        return encodeU64(this.#device.features | TRANSPORT_FEATURES);
      case FrontEndMessage.SET_FEATURES:
        this.#features = this.#subset(message, this.#device.features | TRANSPORT_FEATURES);
        this.#device.negotiated(this.#features & this.#device.features);
        return undefined;
      case FrontEndMessage.GET_PROTOCOL_FEATURES:
        return encodeU64(PROTOCOL_FEATURES);
      case FrontEndMessage.SET_PROTOCOL_FEATURES:
        this.#protocolFeatures = this.#subset(message, PROTOCOL_FEATURES);
        return undefined;
      case FrontEndMessage.SET_OWNER:
        return undefined;
      case FrontEndMessage.GET_QUEUE_NUM:
        return encodeU64(BigInt(this.#vrings.length));
      case FrontEndMessage.GET_MAX_MEM_SLOTS:
        return encodeU64(BigInt(MAX_MEMORY_SLOTS));
      case FrontEndMessage.SET_MEM_TABLE:
        this.#suspendRings();
        this.#memory.replace(decodeMemoryTable(message), descriptors.splice(0));
        return undefined;
      case FrontEndMessage.ADD_MEM_REG:
        this.#memory.add(decodeMemoryRegion(message), descriptors.splice(0));
        // Rings may lie in a region that was removed and comes back.
        this.#resumeRings();
        return undefined;
      case FrontEndMessage.REM_MEM_REG:
        this.#suspendRings();
        this.#memory.remove(decodeMemoryRegion(message));
        return undefined;
      case FrontEndMessage.SET_VRING_NUM: {
        const { index, num } = decodeVringState(message);
        if (num < 1 || num > MAX_QUEUE_SIZE || (num & (num - 1)) !== 0) {
          throw new ProtocolError("BAD_VALUE", `a queue of ${num} descriptors`);
        }
        this.#vring(index).setSize(num);
        return undefined;
      }
      case FrontEndMessage.SET_VRING_ADDR: {
        const address = decodeVringAddress(message);
        this.#vring(address.index).setAddress(address);
        return undefined;
      }
      case FrontEndMessage.SET_VRING_BASE: {
        const { index, num } = decodeVringState(message);
        this.#vring(index).setBase(num);
        return undefined;
      }
      case FrontEndMessage.GET_VRING_BASE: {
        const { index } = decodeVringState(message);
        const payload = Buffer.alloc(8);
        payload.writeUInt32LE(index, 0);
        payload.writeUInt32LE(this.#vring(index).stop(), 4);
        return payload;
      }
      case FrontEndMessage.SET_VRING_KICK: {
        const [vring, fd] = this.#vringDescriptor(message, descriptors);
        vring.setKick(fd);
        // Without the protocol features there is no SET_VRING_ENABLE: a ring that is started runs.
        if ((this.#features & bit(Feature.VHOST_USER_F_PROTOCOL_FEATURES)) === 0n) {
          vring.setEnabled(true);
        }
        return undefined;
      }
      case FrontEndMessage.SET_VRING_CALL: {
        const [vring, fd] = this.#vringDescriptor(message, descriptors);
        vring.setCall(fd);
        return undefined;
      }
      case FrontEndMessage.SET_VRING_ERR: {
        const [vring, fd] = this.#vringDescriptor(message, descriptors);
        vring.setErr(fd);
        return undefined;
      }
      case FrontEndMessage.SET_VRING_ENABLE: {
        const { index, num } = decodeVringState(message);
        this.#vring(index).setEnabled(num !== 0);
        return undefined;
      }
      case FrontEndMessage.SET_BACKEND_REQ_FD: {
        this.#setBackEndChannel(this.#descriptorOf(descriptors));
        return undefined;
      }
      case FrontEndMessage.GET_INFLIGHT_FD: {
        const { fd, description } = createInflight(decodeInflight(message), this.#vrings.length);
        descriptors.push(fd);
        const flags = FLAG_VERSION_1 | FLAG_REPLY;
        const reply = encodeMessage(message.request, flags, encodeInflight(description));
        this.#connection.sendWith(reply, fd);
        return "sent";
      }
      case FrontEndMessage.SET_INFLIGHT_FD: {
        const description = decodeInflight(message);
        const fd = this.#descriptorOf(descriptors);
        const state = { ...description, file: this.#connection.nameOf(fd) };
        const inflight = new InflightMemory(state, fd, this.#vrings.length);
        if (!inflight.sealed) this.#warnUnsealed("the memory for requests in flight");
        this.#suspendRings();
        this.#inflight?.unmap();
        this.#inflight = inflight;
        return undefined;
      }
      case FrontEndMessage.GET_CONFIG:
        this.#expectDriver();
        return this.#readConfig(message);
      case FrontEndMessage.SET_CONFIG: {
        this.#expectDriver();
        const { offset, size, bytes } = decodeConfigAccess(message);
        if (bytes.length < size) {
          throw new ProtocolError("BAD_PAYLOAD", `${size} bytes announced, ${bytes.length} came`);
        }
        this.#device.writeConfig(offset, Buffer.from(bytes.subarray(0, size)));
        return undefined;
      }
      case FrontEndMessage.GET_STATUS:
        return encodeU64(BigInt(this.#status));
      case FrontEndMessage.SET_STATUS:
        this.#status = Number(decodeU64(message) & 0xffn);
        if (this.#status === 0) this.#reset();
        return undefined;
      case FrontEndMessage.RESET_DEVICE:
        this.#reset();
        return undefined;
      case FrontEndMessage.RESET_OWNER:
        // Deprecated; "ignore this message, or use it to disable all rings".
        for (const vring of this.#vrings) vring.setEnabled(false);
        return undefined;
      default:
        throw new ProtocolError("UNSUPPORTED", "this back-end doesn't know the message");
    }
  }

  /** Always answers with as many bytes as were asked for: zeros behind the space's end. */
  #readConfig(message: ReceivedMessage): Uint8Array {
    const { offset, size, flags } = decodeConfigAccess(message);
    const payload = Buffer.alloc(12 + size);
    payload.writeUInt32LE(offset, 0);
    payload.writeUInt32LE(size, 4);
    payload.writeUInt32LE(flags, 8);
    this.#configRead = Math.max(this.#configRead, offset + size);
    payload.set(this.#device.readConfig().subarray(offset, offset + size), 12);
    return payload;
  }

  #reset(): void {
    this.#status = 0;
    for (const vring of this.#vrings) vring.reset();
    this.#resetDevice();
  }

  /**
   * The driver uses the configuration space. Most front-ends, QEMU's generic device among them, say
   * nothing of a reset but that the rings stop, and the same of a machine that is paused. A paused
   * machine's driver does nothing, so this one begins anew.
   */
  #expectDriver(): void {
    if (this.#ran && this.#running.length === 0) this.#resetDevice();
  }

  #resetDevice(): void {
    this.#ran = false;
    this.#configRead = 0;
    this.#device.reset();
  }

  get #running(): number[] {
    return this.#vrings.filter(({ runs }) => runs).map(({ index }) => index);
  }

  /** A message was handled: rings may run, or not any more. */
  #look(): void {
    const running = this.#running;
    this.#ran ||= running.length > 0;
    const isRunning = this.#driver.state === "running";
    if (running.length > 0 !== isRunning) {
      this.#driver = { state: isRunning ? "stopped" : "running", sinceMs: Date.now() };
    }
    this.#driverStart.running(running);
  }

  #subset(message: ReceivedMessage, offered: bigint): bigint {
    const chosen = decodeU64(message);
    if ((chosen & ~offered) !== 0n) {
      throw new ProtocolError(
        "BAD_VALUE",
        `bits 0x${(chosen & ~offered).toString(16)} were not offered`,
      );
    }
    return chosen;
  }

  #vring(index: number): Vring {
    const vring = this.#vrings[index];
    if (vring === undefined) {
      throw new ProtocolError("BAD_VALUE", `queue ${index} of ${this.#vrings.length}`);
    }
    return vring;
  }

  #vringDescriptor(message: ReceivedMessage, descriptors: number[]): [Vring, number | undefined] {
    const value = decodeU64(message);
    const vring = this.#vring(Number(value & VRING_INDEX_MASK));
    if ((value & VRING_NO_FD) !== 0n) return [vring, undefined];
    return [vring, this.#descriptorOf(descriptors)];
  }

  /** Takes over the descriptor that a message came with. */
  #descriptorOf(descriptors: number[]): number {
    const fd = descriptors.shift();
    if (fd !== undefined) return fd;
    throw new ProtocolError("BAD_DESCRIPTORS", "the message's descriptor is missing");
  }

  #complain(error: unknown, subject: string): void {
    if (error instanceof ProtocolError && error.fatal) throw error;
    if (
      !(error instanceof ProtocolError) &&
      !(error instanceof VirtqueueError) &&
      !(error instanceof SystemError) &&
      !(error instanceof Error && "errno" in error)
    ) {
      throw error;
    }
    const code = "code" in error ? String(error.code) : String(errnoOf(error));
    this.#log({ level: "warn", code, message: `${subject}: ${error.message}` });
  }

  /** Ends this connection and nothing else. */
  #fail(error: unknown): void {
    // In place of the end of the stream, where the front-end died without reading a reply.
    if (error instanceof SystemError && error.errno === errno.ECONNRESET) {
      this.#close("gone");
      return;
    }
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof Error && "code" in error ? String(error.code) : "INTERNAL";
    this.#log({ level: "error", code, message: `the connection is closed: ${message}` });
    // What is in flight may never end: its completions find dead queues.
    for (const vring of this.#vrings) vring.suspend();
    this.#close("end");
    // It may have been waiting for them already.
    this.#runIdle();
  }
}
