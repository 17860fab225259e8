import { type Command, InvalidArgumentError, Option } from "commander";
import { systemReason } from "../os/errno.js";
import { closeDescriptor, endListening, isListening } from "../os/index.js";
import type { DaemonEvent, GuestSettings } from "../service/daemon/index.js";
import { codeOf, isAtLeast, USAGE, UserError, warn } from "../service/errors.js";
import { outputOf } from "../service/log/output.js";
import { endBySignal, onSignals, STOP_MS } from "../service/signals.js";
import { becomeDaemon } from "../service/start/become-daemon.js";
import type { ControlSettings } from "../service/start/control-socket.js";
import { expectGoodEnd, supervise } from "../service/start/supervise.js";
import {
  hold,
  letGo,
  notifySocket,
  passedDescriptors,
  socketName,
} from "../service/supervisor/index.js";
import {
  isListeningAt,
  listenAt,
  removeSocket,
  removeUnused,
  type SocketFile,
  socketFile,
} from "../virtio/vhost-user/index.js";
import {
  addControlOptions,
  type ControlOptions,
  controlSettings,
  parseGroup,
} from "./control-options.js";
import { addDeviceOptions, type DeviceOptions, deviceSettings } from "./device-options.js";
import { guestDirectory, namedDirectory } from "./guest-directory.js";

interface ServeOptions extends DeviceOptions, ControlOptions {
  socketPath?: string;
  fd?: number;
  guest: GuestSocket[];
  directory?: string;
  printCapabilities: boolean;
  json: boolean;
  syncThreads?: number;
  socketMode: number;
  socketGroup?: number;
}

interface GuestSocket {
  readonly name: string;
  readonly path: string;
}

/** A guest's name is its directory's. */
const GUEST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const GUEST_NAME_RULE =
  "A guest's name is of up to 64 letters (A-Z, a-z), digits, _, . and -, and begins with neither . nor -.";

/** Disks are waited for by so many threads where there are several guests. */
const SYNC_THREADS = 4;

const TELLS: readonly DaemonEvent["kind"][] = [
  "confined",
  "connected",
  "disconnected",
  "stored",
  "log",
];
/** A script gets the reason of a failure where it reads everything else. */
const JSON_TELLS: readonly DaemonEvent["kind"][] = [...TELLS, "failed"];

/** What `--print-capabilities` prints (vhost-user.rst, "Backend program conventions"). */
const CAPABILITIES = { type: "pstore", features: [] };

function parseGuest(text: string, guests: GuestSocket[]): GuestSocket[] {
  const equals = text.indexOf("=");
  const name = text.slice(0, Math.max(0, equals));
  const path = text.slice(equals + 1);
  if (equals < 0 || path === "") throw new InvalidArgumentError("It must be NAME=SOCKET.");
  if (!GUEST_NAME.test(name)) throw new InvalidArgumentError(GUEST_NAME_RULE);
  if (guests.some((guest) => guest.name === name || guest.path === path)) {
    throw new InvalidArgumentError("Each guest needs a name and a socket of its own.");
  }
  return [...guests, { name, path }];
}

function parseDescriptor(text: string): number {
  const fd = Number(text);
  if (!/^[0-9]{1,9}$/.test(text) || fd < 3) {
    throw new InvalidArgumentError("It must be the number of an open descriptor from 3 on.");
  }
  return fd;
}

function parseMode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new InvalidArgumentError("It must be three octal digits, such as 660.");
}

export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .summary("serve guests' records as a vhost-user back-end")
    .description(
      "Serves virtio-pstore devices to VMMs over vhost-user sockets, until SIGTERM or SIGINT. " +
        "With --socket-path it serves one guest, whose records go to DIR. With --guest NAME=SOCKET, once for each " +
        "guest, it serves many; their records go to DIR/NAME.",
    )
    .option("--socket-path <path>", "serve one guest at this Unix socket, which is made")
    .addOption(
      new Option(
        "--fd <n>",
        "like --socket-path, with an open descriptor: a listening socket, or a VMM's connection",
      ).argParser(parseDescriptor),
    )
    .addOption(
      new Option(
        "--guest <name=socket>",
        "serve guest NAME at this socket; may be repeated. A name has up to 64 letters, digits, _, . and -",
      )
        .argParser(parseGuest)
        .default([], "none"),
    )
    .option("--directory <dir>", "store records in this directory; it is made if it is missing")
    .addOption(
      new Option("--socket-mode <mode>", "permissions of the guests' sockets, in octal digits")
        .argParser(parseMode)
        .default(0o600, "600"),
    )
    .addOption(
      new Option(
        "--socket-group <group>",
        "group of the guests' sockets, by name or number",
      ).argParser(parseGroup),
    );
  addControlOptions(command);
  addDeviceOptions(command)
    .option("--json", "print events as JSON lines on stdout, not as lines on stderr", false)
    .option("--print-capabilities", "print this back-end's capabilities as JSON, and exit", false)
    // For bench/write.ts, which compares the ways of waiting for the disk.
    .addOption(new Option("--sync-threads <n>").argParser(Number).hideHelp())
    .action(async (options: ServeOptions) => {
      await serve(options);
    });
}

async function serve(options: ServeOptions): Promise<void> {
  if (options.printCapabilities) {
    process.stdout.write(`${JSON.stringify(CAPABILITIES, null, 2)}\n`);
    return;
  }
  const directory = options.directory;
  if (directory === undefined) {
    throw new UserError("serve needs --directory DIR, where the records are stored", USAGE);
  }
  const ways = [options.socketPath, options.fd, options.guest[0]];
  if (ways.filter((way) => way !== undefined).length !== 1) {
    const message = "serve needs one of --socket-path PATH, --fd N and --guest NAME=SOCKET";
    throw new UserError(message, USAGE);
  }

  const sockets: SocketFile[] = [];
  let control: ControlSettings | undefined;
  const { socketMode: mode, socketGroup: group } = options;
  const access = group === undefined ? { mode } : { mode, group };
  // systemd's, or another service manager's: it holds what our supervisor would, and starts us again.
  const managed = notifySocket() !== undefined;
  let passed = managed ? passedDescriptors() : [];
  /** The socket of a former process, where it was told to listen at the same path for the same users. */
  const heldAt = (path: string, name: string): number | undefined => {
    const held = passed.find((one) => one.name === name);
    if (held === undefined) return undefined;
    if (isListeningAt(held.fd, path, access)) return held.fd;
    // The manager may take a while to close it.
    endListening(held.fd);
    letGo(name);
    closeDescriptor(held.fd);
    passed = passed.filter((one) => one !== held);
    return undefined;
  };
  const listen = (path: string, guest = ""): number => {
    const name = socketName(guest);
    const fd = withReason(path, () => heldAt(path, name) ?? listenAt(path, access));
    if (managed && !passed.some((one) => one.fd === fd)) hold(name, fd);
    const file = socketFile(path);
    if (file !== undefined) sockets.push(file);
    return fd;
  };
  try {
    const guests = guestSettings(options, directory, listen);
    const output = outputOf(options);
    const settings = {
      guests,
      ...deviceSettings(options),
      syncThreads:
        options.syncThreads ?? (guests.length > 1 ? Math.min(SYNC_THREADS, guests.length) : 0),
    };
    const { json, logLevel } = options;
    // Of one guest the link that may be named is followed already.
    const served = options.guest.length > 0 ? directory : (guests[0]?.directory ?? directory);
    control = controlSettings(options, served);
    const start = { settings, control, json, logLevel, tell: json ? JSON_TELLS : TELLS };
    // Told to stop, it leaves its sessions and sockets to the process that the manager starts next; where
    // that starts none, it closes them.
    if (managed) {
      const fds = guests.map(({ fd }) => fd);
      becomeDaemon({ ...start, managed }, passed, fds);
    }
    const supervisor = supervise(start, output);
    let stopping = false;
    const endNow = (name: NodeJS.Signals) => {
      for (const socket of sockets) removeSocket(socket);
      // The daemon ends with this process.
      endBySignal(name);
    };
    onSignals(["SIGTERM", "SIGINT"], (name) => {
      if (stopping) {
        endNow(name);
        return;
      }
      stopping = true;
      supervisor.stop(name);
      setTimeout(() => {
        warn("the disk didn't answer in time; ended without it");
        endNow("SIGKILL");
      }, STOP_MS).unref();
    });
    if (await supervisor.ready) {
      if (json) output({ kind: "ready" });
      else if (isAtLeast("info", logLevel)) announce(guests, sockets);
    }
    expectGoodEnd(await supervisor.ended);
  } finally {
    if (!managed) {
      for (const socket of sockets) removeSocket(socket);
      if (control !== undefined) removeUnused(control.path);
    }
  }
}

function guestSettings(
  options: ServeOptions,
  directory: string,
  listen: (path: string, guest?: string) => number,
): GuestSettings[] {
  if (options.fd !== undefined) {
    const { fd } = options;
    return [
      { name: "", directory: namedDirectory(directory), fd, connected: !isListeningSocket(fd) },
    ];
  }
  if (options.socketPath !== undefined) {
    const fd = listen(options.socketPath);
    return [{ name: "", directory: namedDirectory(directory), fd, connected: false }];
  }
  return options.guest.map(({ name, path }) => ({
    name,
    directory: guestDirectory(directory, name),
    fd: listen(path, name),
    connected: false,
  }));
}

function withReason(path: string, listen: () => number): number {
  try {
    return listen();
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    const mend = codeOf(error) === "ENOENT" ? "make its directory" : "see to that";
    throw new UserError(`no socket can be made at ${path}: ${reason}; ${mend}, or name another`);
  }
}

function isListeningSocket(fd: number): boolean {
  try {
    return isListening(fd);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new UserError(
      `--fd ${fd}: ${reason}; whoever starts this has to open descriptor ${fd} as a Unix socket`,
    );
  }
}

function announce(guests: readonly GuestSettings[], sockets: readonly SocketFile[]): void {
  guests.forEach((guest, i) => {
    const from = sockets[i]?.path ?? `descriptor ${guest.fd}`;
    warn(`${from} is served; records go to ${guest.directory}`);
  });
}
