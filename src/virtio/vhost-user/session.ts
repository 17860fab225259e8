import { closeDescriptor, errno, hasReader, type Share, SystemError } from "../../os/index.js";
import { expectObject } from "../virtqueue/arguments.js";
import { expectMethods } from "./arguments.js";
import { BackEnd } from "./back-end.js";
import type { Connection } from "./connection.js";
import type { DriverActivity, LogEvent, StartedDriver, VirtioDevice } from "./device.js";
import type { SharedRegion } from "./memory-table.js";
import { END, type ReceivedMessage } from "./message-reader.js";
import { errorReply, handleMessage } from "./messages.js";
import {
  encodeMessage,
  encodeU64,
  FLAG_NEED_REPLY,
  FLAG_REPLY,
  FLAG_VERSION_1,
  FrontEndMessage,
  messageName,
  ProtocolFeature,
} from "./protocol.js";

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
  readonly #log: (event: LogEvent) => void;
  readonly #onClose: () => void;
  readonly #backEnd: BackEnd;
  /** What goes on once nothing is in flight; no message is read until then. */
  readonly #whenIdle: (() => void)[] = [];
  #closed = false;
  /** What a former process was sent can't be used any more: its front-end may be why that one ended. */
  resumeFailed = false;

  /** Throws ArgumentError. */
  constructor(options: SessionOptions) {
    expectObject(options, "options");
    expectObject(options.loop, "options.loop");
    expectObject(options.connection, "options.connection");
    expectMethods(options.device, "options.device");
    this.#loop = options.loop;
    this.#connection = options.connection;
    this.#log = options.log ?? (() => undefined);
    this.#onClose = options.onClose ?? (() => undefined);
    this.#backEnd = new BackEnd({
      loop: options.loop,
      connection: options.connection,
      device: options.device,
      log: this.#log,
      onCompleted: () => {
        if (this.#whenIdle.length > 0 && this.#runIdle() && !this.#closed) this.#watch();
      },
      onFailed: (error) => {
        this.#fail(error);
      },
    });
    this.#watch();
    this.#resume();
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
    return this.#backEnd.connectedMs;
  }

  get driver(): DriverActivity {
    return this.#backEnd.driver;
  }

  /** What the driver has set up by now. */
  get started(): StartedDriver {
    return this.#backEnd.started;
  }

  /** The guest's memory, as far as the front-end shares it. */
  get sharedRegions(): readonly SharedRegion[] {
    return this.#backEnd.memory.shared;
  }

  /** Tells the front-end that the configuration space changed; false where it can't be told. */
  notifyConfigChange(): boolean {
    return this.#backEnd.notifyConfigChange();
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
    if (how !== "leave") this.#backEnd.tellStart();
    this.#unwatch();
    this.#idle(() => {
      const backEnd = this.#backEnd;
      const { device, connectedMs, driver } = backEnd;
      backEnd.close();
      // First: a process that dies in between does it again.
      if (how === "gone") {
        const tellsStops = backEnd.negotiated(ProtocolFeature.STATUS);
        device.gone?.({ connectedMs, driver: driver.state, tellsStops });
      }
      if (how === "leave") {
        this.#connection.leave();
      } else {
        this.#connection.close();
        device.close();
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

  /** Goes on where a former process ended, if one did. */
  #resume(): void {
    const { savedState } = this.#connection;
    if (savedState === undefined) return;
    try {
      this.#backEnd.restore(savedState);
    } catch (error) {
      this.resumeFailed = true;
      // Whoever makes this session doesn't have it yet.
      this.#loop.defer(() => {
        this.#fail(error);
      });
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
    for (const vring of this.#backEnd.vrings) vring.quiesce();
    this.#whenIdle.push(task);
    if (!this.#runIdle()) this.#unwatch();
  }

  #runIdle(): boolean {
    if (!this.#backEnd.isIdle) return false;
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

  /** Handles one message and answers it. Throws what must end the connection. */
  #answer(message: ReceivedMessage, then?: "resume rings"): void {
    const name = messageName(message.request);
    let reply: Uint8Array | "sent" | undefined;
    let failed = false;
    let outcome = "left none";
    // Descriptors that nobody takes over are closed here.
    const descriptors = [...message.descriptors];
    try {
      reply = handleMessage(this.#backEnd, message, descriptors);
    } catch (error) {
      failed = true;
      this.#backEnd.complain(error, name);
      reply = errorReply(message.request, error);
      outcome = `failed: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      for (const fd of descriptors) closeDescriptor(fd);
    }
    if (TELLS_MEMORY.has(message.request)) this.#backEnd.noteMemory(name, outcome);
    if (then !== undefined && !this.#closed) this.#backEnd.resumeRings();
    this.#backEnd.look();
    const acknowledge =
      (message.flags & FLAG_NEED_REPLY) !== 0 &&
      this.#backEnd.negotiated(ProtocolFeature.REPLY_ACK);
    if (acknowledge) reply ??= encodeU64(failed ? 1n : 0n);
    const flags = FLAG_VERSION_1 | FLAG_REPLY;
    this.#connection.done(
      () => this.#backEnd.state,
      reply === undefined || reply === "sent"
        ? undefined
        : encodeMessage(message.request, flags, reply),
    );
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
    for (const vring of this.#backEnd.vrings) vring.suspend();
    this.#close("end");
    // It may have been waiting for them already.
    this.#runIdle();
  }
}
