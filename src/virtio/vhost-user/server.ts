import { acceptUnix, closeDescriptor, type Share, SystemError } from "../../os/index.js";
import { expectFunction, expectNumber, expectObject } from "../virtqueue/arguments.js";
import { type Connection, PlainConnection, type SessionStore } from "./connection.js";
import type { LogEvent, VirtioDevice } from "./device.js";
import { Session } from "./session.js";

/** An int's. */
const MAX_DESCRIPTOR = 0x7fffffff;

/** How long a socket whose accept(2) failed is left alone. */
const ACCEPT_RETRY_MS = 1000;

/**
 * A front-end whose memory was gone when its session was to be resumed may have ended the process before
 * by that (SIGBUS). It can do so again only after so long, so that other guests are served in between.
 */
const RESUME_FAILED_RETRY_MS = 10_000;

/** How long a connection waits before the server looks whether the one before it is done. */
const BUSY_RETRY_MS = 20;

/** What a server is made with. */
export interface ServerOptions {
  /** The guest's, which nobody else has a part of. */
  readonly loop: Share;
  /** A listening socket, which the server closes. */
  readonly fd: number;
  /** Makes the device of a new connection. */
  readonly createDevice: () => VirtioDevice;
  /** Has sessions go on where a former process ended; without one they end with this process. */
  readonly sessions?: SessionStore | undefined;
  readonly log?: (event: LogEvent) => void;
  /** `resumed`: it was connected to a former process. */
  readonly onConnect?: (resumed: boolean) => void;
  readonly onDisconnect?: () => void;
}

/** Takes one front-end at a time from a listening socket, and the next when it is gone. */
export class Server {
  readonly #options: ServerOptions;
  #session: Session | undefined;
  #open = true;
  #listening = false;
  #lookedAgain = false;
  #heldOff = false;

  /** Throws ArgumentError. */
  constructor(options: ServerOptions) {
    expectObject(options, "options");
    expectObject(options.loop, "options.loop");
    expectNumber(options.fd, "options.fd", 0, MAX_DESCRIPTOR);
    expectFunction(options.createDevice, "options.createDevice");
    if (options.log !== undefined) expectFunction(options.log, "options.log");
    this.#options = options;
    const connection = options.sessions?.resume();
    if (connection !== undefined) {
      this.#session = this.#begin(connection, options.createDevice());
      options.onConnect?.(true);
    }
    this.#listen();
  }

  /** The front-end's that is connected. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Stops listening, and ends the connection or leaves it to another process. The socket's file is left
   * to whoever made it.
   */
  close(how: "end" | "leave" = "end"): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pause();
    closeDescriptor(this.#options.fd);
    this.#session?.close(how);
  }

  #listen(): void {
    if (!this.#open || this.#listening || this.#heldOff) return;
    this.#listening = true;
    this.#options.loop.watch(this.#options.fd, () => {
      this.#accept();
    });
  }

  /** Leaves whoever connects waiting. */
  #pause(): void {
    this.#listening = false;
    this.#options.loop.unwatch(this.#options.fd);
  }

  #holdOff(): void {
    this.#heldOff = true;
    this.#pause();
    this.#options.loop.after(RESUME_FAILED_RETRY_MS, () => {
      this.#heldOff = false;
      this.#listen();
    });
  }

  #accept(): void {
    const { loop, log } = this.#options;
    if (this.#session !== undefined && (this.#session.waiting || !this.#lookedAgain)) {
      // Most likely a front-end that comes back: its last requests are still being stored, or its
      // hanging up comes after its connecting in this very turn.
      this.#lookedAgain = true;
      this.#pause();
      loop.after(BUSY_RETRY_MS, () => {
        this.#listen();
      });
      return;
    }
    this.#lookedAgain = false;
    let connection: Connection | undefined;
    try {
      if (this.#session === undefined) connection = this.#take();
      else this.#turnAway();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      log?.({ level: "error", code: error.code, message: `no connection taken: ${error.message}` });
      // Out of descriptors, most likely: the connection waits, and so does this socket.
      this.#pause();
      loop.after(ACCEPT_RETRY_MS, () => {
        this.#listen();
      });
    }
    if (connection === undefined) return;
    let device: VirtioDevice;
    try {
      device = this.#options.createDevice();
    } catch (error) {
      connection.close();
      const message = error instanceof Error ? error.message : String(error);
      log?.({ level: "error", code: "NO_DEVICE", message: `no device was made: ${message}` });
      return;
    }
    this.#session = this.#begin(connection, device);
    this.#options.onConnect?.(false);
  }

  /** The connection that waits; undefined where it is gone again. Throws the system call's error. */
  #take(): Connection | undefined {
    const { fd: socket, sessions } = this.#options;
    if (sessions !== undefined) return sessions.begin(() => acceptUnix(socket));
    const fd = acceptUnix(socket);
    return fd === undefined ? undefined : new PlainConnection(fd);
  }

  #turnAway(): void {
    const fd = acceptUnix(this.#options.fd);
    if (fd === undefined) return;
    closeDescriptor(fd);
    this.#options.log?.({
      level: "warn",
      code: "SECOND_FRONT_END",
      message: "a second front-end was turned away: the first is still connected",
    });
  }

  #begin(connection: Connection, device: VirtioDevice): Session {
    const { loop, log } = this.#options;
    return new Session({
      loop,
      connection,
      device,
      ...(log === undefined ? {} : { log }),
      onClose: () => {
        if (this.#session?.resumeFailed === true) this.#holdOff();
        this.#session = undefined;
        this.#options.onDisconnect?.();
      },
    });
  }
}
