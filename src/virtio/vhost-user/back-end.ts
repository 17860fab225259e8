import {
  closeDescriptor,
  errnoOf,
  POLLIN,
  poll,
  type Share,
  SystemError,
  send,
  setNonBlocking,
} from "../../os/index.js";
import { VirtqueueError } from "../virtqueue/index.js";
import type { Connection } from "./connection.js";
import type { DriverActivity, LogEvent, StartedDriver, VirtioDevice } from "./device.js";
import { DriverStart } from "./driver-start.js";
import { InflightMemory } from "./inflight-memory.js";
import { MemoryTable } from "./memory-table.js";
import {
  BackEndMessage,
  bit,
  encodeMessage,
  FLAG_VERSION_1,
  ProtocolError,
  ProtocolFeature,
} from "./protocol.js";
import type { DescriptorName, SessionState } from "./session-state.js";
import { Vring } from "./vring.js";

/** What a back-end is made with. */
export interface BackEndOptions {
  readonly loop: Share;
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly log: (event: LogEvent) => void;
  /** A chain was given back. */
  readonly onCompleted: () => void;
  /** The device failed in a way that isn't the driver's doing. */
  readonly onFailed: (error: unknown) => void;
}

/** What a front-end has negotiated and set up: features, memory, vrings. */
export class BackEnd {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly memory: MemoryTable;
  readonly vrings: readonly Vring[];
  features = 0n;
  protocolFeatures = 0n;
  /** The device status field (virtio 2.1), as far as the front-end tells it. */
  status = 0;
  /** How many bytes of the configuration space were read since the last reset. */
  configRead = 0;
  inflight: InflightMemory | undefined;
  readonly #log: (event: LogEvent) => void;
  /** Rings ran since the last reset. */
  #ran = false;
  #connectedMs = Date.now();
  #driver: DriverActivity = { state: "none", sinceMs: this.#connectedMs };
  readonly #driverStart: DriverStart;
  #backEndChannel: { readonly fd: number; readonly name: DescriptorName } | undefined;
  /** Which message left the guest without memory, and how. */
  #memoryLost: string | undefined;
  /** The names of descriptors that a former process left, while the session is restored. */
  readonly #restored = new Map<number, DescriptorName>();

  constructor(options: BackEndOptions) {
    this.connection = options.connection;
    this.device = options.device;
    this.#log = options.log;
    const backEnd = this;
    const nameOf = (fd: number) => this.#restored.get(fd) ?? this.connection.nameOf(fd);
    this.#driverStart = new DriverStart({
      loop: options.loop,
      messagesWait: () => poll(this.connection.fd, POLLIN) !== 0,
      started: (queues) => {
        this.device.started?.({ queues, configRead: this.configRead });
      },
    });
    this.memory = new MemoryTable(nameOf, () => {
      this.warnUnsealed("the guest's memory");
    });
    this.vrings = Array.from(
      { length: options.device.queueCount },
      (_, index) =>
        new Vring(index, {
          loop: options.loop,
          device: options.device,
          memory: this.memory.memory,
          get features() {
            return backEnd.features;
          },
          inflight: (queue, size) => this.inflight?.region(queue, size),
          get whyNoMemory() {
            return backEnd.#memoryLost ?? "the VMM named none, as QEMU does without share=on";
          },
          log: options.log,
          nameOf,
          completed: () => {
            this.#driverStart.answered();
            options.onCompleted();
          },
          fail: options.onFailed,
        }),
    );
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
    return { queues: this.running, configRead: this.configRead };
  }

  /** No chain is in flight. */
  get isIdle(): boolean {
    return this.vrings.every((vring) => vring.inFlight === 0);
  }

  /** The message `name` was handled, with this outcome: the guest's memory may be gone by it. */
  noteMemory(name: string, outcome: string): void {
    if (this.memory.states.length === 0) this.#memoryLost = `${name} ${outcome}`;
  }

  /** Tells of a driver that has started, unless that was told: nothing more comes. */
  tellStart(): void {
    this.#driverStart.tell();
  }

  /** Lets go of everything but the device. Nothing is in flight. */
  close(): void {
    for (const vring of this.vrings) vring.close();
    this.memory.clear();
    this.inflight?.unmap();
    if (this.#backEndChannel !== undefined) closeDescriptor(this.#backEndChannel.fd);
  }

  /** Tells the front-end that the configuration space changed; false where it can't be told. */
  notifyConfigChange(): boolean {
    const fd = this.#backEndChannel?.fd;
    if (fd === undefined || !this.negotiated(ProtocolFeature.CONFIG)) return false;
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

  /** Memory that rings lie in, or that notes what they have in flight, is about to go. */
  suspendRings(): void {
    for (const vring of this.vrings) vring.suspend();
  }

  resumeRings(): void {
    for (const vring of this.vrings) {
      try {
        vring.resume();
      } catch (error) {
        this.complain(error, `queue ${vring.index}`);
      }
    }
  }

  /** What another process needs to go on with this session. */
  get state(): SessionState {
    return {
      features: this.features,
      protocolFeatures: this.protocolFeatures,
      status: this.status,
      ran: this.#ran,
      configRead: this.configRead,
      connectedMs: this.#connectedMs,
      driver: this.#driver,
      config: Buffer.from(this.device.readConfig()).toString("hex"),
      regions: this.memory.states,
      memoryLost: this.#memoryLost,
      vrings: this.vrings.map((vring) => vring.state),
      backEndChannel: this.#backEndChannel?.name,
      inflight: this.inflight?.state,
    };
  }

  /** Goes on where a former process ended. Throws where what it was sent can't be used any more. */
  restore(state: SessionState): void {
    const take = (name: DescriptorName | undefined): number | undefined => {
      if (name === undefined) return undefined;
      const fd = this.connection.descriptor(name);
      this.#restored.set(fd, name);
      return fd;
    };
    try {
      this.features = state.features;
      this.protocolFeatures = state.protocolFeatures;
      this.status = state.status;
      this.#ran = state.ran;
      this.configRead = state.configRead;
      this.#connectedMs = state.connectedMs;
      this.#driver = state.driver;
      this.device.negotiated(this.features & this.device.features);
      this.device.writeConfig(0, Buffer.from(state.config, "hex"));
      this.#memoryLost = state.memoryLost;
      for (const region of state.regions) {
        this.memory.restore(region, this.connection.descriptor(region.file));
      }
      this.setBackEndChannel(take(state.backEndChannel));
      const { inflight } = state;
      if (inflight !== undefined) {
        const fd = this.connection.descriptor(inflight.file);
        this.inflight = new InflightMemory(inflight, fd, this.vrings.length);
      }
      this.vrings.forEach((vring, i) => {
        const ring = state.vrings[i];
        if (ring === undefined) return;
        const { kick, call, err } = ring;
        const descriptors = { kick: take(kick), call: take(call), err: take(err) };
        try {
          vring.restore(ring, descriptors);
        } catch (error) {
          this.complain(error, `queue ${i}`);
        }
      });
      this.look();
    } finally {
      this.#restored.clear();
    }
  }

  warnUnsealed(what: string): void {
    this.#log({
      level: "warn",
      code: "UNSEALED_MEMORY",
      message: `${what} isn't sealed against being shortened (F_SEAL_SHRINK): its front-end could end this process`,
    });
  }

  setBackEndChannel(fd: number | undefined): void {
    if (this.#backEndChannel !== undefined) closeDescriptor(this.#backEndChannel.fd);
    this.#backEndChannel =
      fd === undefined
        ? undefined
        : { fd, name: this.#restored.get(fd) ?? this.connection.nameOf(fd) };
    if (fd !== undefined) setNonBlocking(fd);
  }

  negotiated(feature: number): boolean {
    return (this.protocolFeatures & bit(feature)) !== 0n;
  }

  reset(): void {
    this.status = 0;
    for (const vring of this.vrings) vring.reset();
    this.#resetDevice();
  }

  /**
   * The driver uses the configuration space. Most front-ends, QEMU's generic device among them, say
   * nothing of a reset but that the rings stop, and the same of a machine that is paused. A paused
   * machine's driver does nothing, so this one begins anew.
   */
  expectDriver(): void {
    if (this.#ran && this.running.length === 0) this.#resetDevice();
  }

  #resetDevice(): void {
    this.#ran = false;
    this.configRead = 0;
    this.device.reset();
  }

  get running(): number[] {
    return this.vrings.filter(({ runs }) => runs).map(({ index }) => index);
  }

  /** A message was handled: rings may run, or not any more. */
  look(): void {
    const running = this.running;
    this.#ran ||= running.length > 0;
    const isRunning = this.#driver.state === "running";
    if (running.length > 0 !== isRunning) {
      this.#driver = { state: isRunning ? "stopped" : "running", sinceMs: Date.now() };
    }
    this.#driverStart.running(running);
  }

  complain(error: unknown, subject: string): void {
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
}
