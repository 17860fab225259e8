import { lstatSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { Daemon, type DaemonEvent, type GuestSettings } from "../daemon/index.js";
import { isListening } from "../native/index.js";
import { listenAt } from "../vhost-user/index.js";
import { jsonOutput, textOutput } from "./daemon-output.js";
import { addDeviceOptions, type DeviceOptions, deviceSettings } from "./device-options.js";
import { codeOf, systemReason, USAGE, UserError, warn } from "./errors.js";
import { endBySignal, onSignals, STOP_MS } from "./signals.js";

interface ServeOptions extends DeviceOptions {
  socketPath?: string;
  fd?: number;
  guest: GuestSocket[];
  directory?: string;
  printCapabilities: boolean;
  json: boolean;
  syncThreads?: number;
}

interface GuestSocket {
  readonly name: string;
  readonly path: string;
}

/** The file of a socket that this process listens at. */
interface OwnSocket {
  readonly path: string;
  readonly inode: number;
}

/** A guest's name is its directory's. */
const GUEST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

/** Disks are waited for by so many threads where there are several guests. */
const SYNC_THREADS = 4;

/** What `--print-capabilities` prints (vhost-user.rst, "Backend program conventions"). */
const CAPABILITIES = { type: "pstore", features: [] };

function parseGuest(text: string, guests: GuestSocket[]): GuestSocket[] {
  const equals = text.indexOf("=");
  const name = text.slice(0, Math.max(0, equals));
  const path = text.slice(equals + 1);
  if (!GUEST_NAME.test(name) || path === "") {
    throw new UserError(`--guest wants NAME=SOCKET, not ${text}`, USAGE);
  }
  if (guests.some((guest) => guest.name === name || guest.path === path)) {
    throw new UserError(`--guest ${text}: each guest needs a name and a socket of its own`, USAGE);
  }
  return [...guests, { name, path }];
}

function parseDescriptor(text: string): number {
  const fd = Number(text);
  if (!/^[0-9]{1,9}$/.test(text) || fd < 3) {
    throw new UserError(
      `--fd wants the number of an open descriptor from 3 on, not ${text}`,
      USAGE,
    );
  }
  return fd;
}

export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .summary("serve guests' records as a vhost-user back-end")
    .description(
      "Serves virtio-pstore devices to VMMs over vhost-user sockets until SIGTERM or SIGINT. " +
        "Records of --socket-path's guest lie in DIR, those of --guest NAME=SOCKET in DIR/NAME.",
    )
    .option("--socket-path <path>", "listen for one guest's front-end at this Unix socket")
    .addOption(
      new Option(
        "--fd <n>",
        "use this open descriptor in place of --socket-path: a listening socket, or a front-end's connection",
      ).argParser(parseDescriptor),
    )
    .addOption(
      new Option(
        "--guest <name=socket>",
        "serve a guest of this name at this socket; may be repeated",
      )
        .argParser(parseGuest)
        .default([], "none"),
    )
    .option("--directory <dir>", "where records are stored; made if it isn't there");
  addDeviceOptions(command)
    .option("--json", "tell events as JSON lines on stdout instead of lines on stderr", false)
    .option("--print-capabilities", "print what this back-end can do as JSON, and exit", false)
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

  const sockets: OwnSocket[] = [];
  const listen = (path: string): number => {
    const fd = listenAtPath(path);
    sockets.push({ path, inode: lstatSync(path).ino });
    return fd;
  };
  try {
    const guests = guestSettings(options, directory, listen);
    const output = options.json ? jsonOutput : textOutput;
    let failure: string | undefined;
    const onEvent = (event: DaemonEvent) => {
      if (event.kind === "failed") failure = event.message;
      if (event.kind === "ready" && !options.json) announce(guests, sockets);
      if (event.kind !== "failed" || options.json) output(event);
    };
    const daemon = new Daemon(
      {
        guests,
        ...deviceSettings(options),
        syncThreads:
          options.syncThreads ?? (guests.length > 1 ? Math.min(SYNC_THREADS, guests.length) : 0),
      },
      onEvent,
    );
    let stopping = false;
    const endNow = (name: NodeJS.Signals) => {
      for (const socket of sockets) removeOwn(socket);
      endBySignal(name);
    };
    onSignals(["SIGTERM", "SIGINT"], (name) => {
      if (stopping) {
        endNow(name);
        return;
      }
      stopping = true;
      daemon.stop();
      setTimeout(() => {
        warn("the disk didn't answer in time; ended without it");
        endNow("SIGKILL");
      }, STOP_MS).unref();
    });
    await daemon.ended;
    if (failure !== undefined) throw new UserError(failure);
  } finally {
    for (const socket of sockets) removeOwn(socket);
  }
}

function guestSettings(
  options: ServeOptions,
  directory: string,
  listen: (path: string) => number,
): GuestSettings[] {
  if (options.fd !== undefined) {
    const { fd } = options;
    return [{ name: "", directory, fd, connected: !isListeningSocket(fd) }];
  }
  if (options.socketPath !== undefined) {
    return [{ name: "", directory, fd: listen(options.socketPath), connected: false }];
  }
  return options.guest.map(({ name, path }) => ({
    name,
    directory: join(directory, name),
    fd: listen(path),
    connected: false,
  }));
}

function listenAtPath(path: string): number {
  try {
    return listenAt(path);
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

/** Removes a socket's file, unless somebody else removed or replaced it. */
function removeOwn({ path, inode }: OwnSocket): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) unlinkSync(path);
}

function announce(guests: readonly GuestSettings[], sockets: readonly OwnSocket[]): void {
  guests.forEach((guest, i) => {
    const from = sockets[i]?.path ?? `descriptor ${guest.fd}`;
    process.stderr.write(`virtio-pstore: ${from} is served; records go to ${guest.directory}\n`);
  });
}
