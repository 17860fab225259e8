import { EventLoop } from "../../os/index.js";
import { expectArgument, expectFunction, expectObject } from "../virtqueue/arguments.js";
import { expectDevice } from "./arguments.js";
import type { LogEvent, VirtioDevice } from "./device.js";
import { Server } from "./server.js";
import { listenAt, removeSocket, type SocketAccess, socketFile } from "./socket-file.js";

/** What a device is served with. */
export interface ServeDeviceOptions {
  /** Where front-ends connect: a Unix socket that is made there, and removed at the end. */
  readonly socketPath: string;
  /** Makes the device of a new connection. Called again for each front-end; there is one at a time. */
  readonly createDevice: () => VirtioDevice;
  /** Ends the call when it is aborted; then SIGTERM and SIGINT are left to the program. */
  readonly signal?: AbortSignal | undefined;
  /** Who may connect besides this user. */
  readonly access?: SocketAccess | undefined;
  /** Warnings and errors are lines on stderr where not given. */
  readonly log?: ((event: LogEvent) => void) | undefined;
}

/** The signals that end a call which has no AbortSignal. A second one ends the process, as it would without us. */
const END_SIGNALS = ["SIGTERM", "SIGINT"] as const;

interface RunningLoop {
  readonly loop: EventLoop;
  /** Rejects where one of its tasks failed. */
  readonly ended: Promise<void>;
}

/** One loop for all devices of a thread: while it waits it takes one of the threads of Node's pool. */
let running: RunningLoop | undefined;
let devices = 0;

/**
 * Serves a virtio device to one front-end after the other, beside whatever else the program does, until SIGTERM,
 * SIGINT or `signal`; then ends the connection once nothing is in flight, and removes the socket. Rejects with
 * ArgumentError, SocketInUseError, or the error of a system call.
 */
export async function serveDevice(options: ServeDeviceOptions): Promise<void> {
  expectOptions(options);
  const { socketPath, signal } = options;
  if (signal?.aborted === true) return;
  const fd = listenAt(socketPath, options.access);
  const file = socketFile(socketPath);
  const { loop, ended } = sharedLoop();
  devices++;
  try {
    await untilStopped({ loop, ended }, fd, options);
  } finally {
    devices--;
    if (devices === 0) await endSharedLoop();
    if (file !== undefined) removeSocket(file);
  }
}

function expectOptions(options: ServeDeviceOptions): void {
  expectObject(options, "options");
  const { socketPath, createDevice, signal, access, log } = options;
  const isPath = typeof socketPath === "string" && socketPath !== "";
  expectArgument(isPath, "options.socketPath", socketPath, "a path");
  expectFunction(createDevice, "options.createDevice");
  const isSignal = signal === undefined || signal instanceof AbortSignal;
  expectArgument(isSignal, "options.signal", signal, "an AbortSignal");
  if (access !== undefined) expectObject(access, "options.access");
  if (log !== undefined) expectFunction(log, "options.log");
}

function untilStopped(
  { loop, ended }: RunningLoop,
  fd: number,
  options: ServeDeviceOptions,
): Promise<void> {
  const { signal, createDevice, log = logToStderr } = options;
  return new Promise((resolve, reject) => {
    let connected = false;
    let stopping = false;
    let failure: unknown;
    const end = () => {
      if (failure === undefined) resolve();
      else reject(failure);
    };
    const server = new Server({
      loop: loop.share(),
      fd,
      log,
      createDevice: () => {
        const device = createDevice();
        try {
          expectDevice(device, "options.createDevice()");
        } catch (error) {
          failure = error;
          stop();
          throw error;
        }
        return device;
      },
      onConnect: () => {
        connected = true;
      },
      onDisconnect: () => {
        connected = false;
        if (stopping) end();
      },
    });
    const unlisten = () => {
      signal?.removeEventListener("abort", stop);
      for (const name of END_SIGNALS) process.off(name, stop);
    };
    const stop = () => {
      if (stopping) return;
      stopping = true;
      unlisten();
      // In a turn of the loop, as all that a server does.
      loop.defer(() => {
        server.close();
        if (!connected) end();
      });
    };
    if (signal !== undefined) signal.addEventListener("abort", stop);
    else for (const name of END_SIGNALS) process.on(name, stop);
    ended.catch((error: unknown) => {
      unlisten();
      reject(error);
      server.close();
    });
  });
}

function sharedLoop(): RunningLoop {
  if (running === undefined) {
    const loop = new EventLoop();
    running = { loop, ended: loop.run() };
  }
  return running;
}

async function endSharedLoop(): Promise<void> {
  const last = running;
  if (last === undefined) return;
  running = undefined;
  last.loop.stop();
  // An error of it has been the answer already.
  await last.ended.catch(() => undefined);
  last.loop.close();
}

function logToStderr({ level, code, message }: LogEvent): void {
  if (level !== "info") process.stderr.write(`${level}: ${message} [${code}]\n`);
}
