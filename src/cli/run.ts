import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { basename } from "node:path";
import { type Command, Option } from "commander";
import { codeOf, errorLine, USAGE, UserError, warn } from "../service/errors.js";
import { outputOf } from "../service/log/output.js";
import { endBySignal, onSignals, STOP_MS } from "../service/signals.js";
import { expectGoodEnd, supervise } from "../service/start/supervise.js";
import { listenAt, removeUnused } from "../virtio/vhost-user/index.js";
import { addControlOptions, type ControlOptions, controlSettings } from "./control-options.js";
import { addDeviceOptions, type DeviceOptions, deviceSettings } from "./device-options.js";
import { namedDirectory } from "./guest-directory.js";
import { parseStatus, withPanicStatus } from "./panic-status.js";
import { makeRunFolder, type RunFolder } from "./run-folder.js";
import type { Vmm, VmmCommand } from "./vmm/command.js";
import { qemu } from "./vmm/qemu.js";
import { checkErst, erstArguments, erstIds } from "./vmm/qemu-erst.js";
import { uml } from "./vmm/uml.js";

interface RunOptions extends DeviceOptions, ControlOptions {
  directory?: string;
  erst?: string;
  vmm?: "qemu" | "uml";
  json: boolean;
  panicStatus?: number;
}

const VMMS = { qemu, uml };

const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

/** What a signal does: it depends on how far the run is. */
interface SignalHandler {
  handle: (name: NodeJS.Signals) => void;
}

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .summary("run a QEMU or user-mode-linux guest with a virtio-pstore device")
    .usage("[options] -- COMMAND [ARGS...]")
    .description(
      "Starts the back-end, then COMMAND with a virtio-pstore device added, and ends when COMMAND ends. " +
        "COMMAND is a qemu-system-… or a linux.uml command line. It gets the terminal and the signals, and its " +
        "exit status is run's. Lines on stderr say which device the guest's driver got, and which records were stored.",
    )
    .argument("<command...>", "the VMM's program and its arguments")
    .option("--directory <dir>", "store records in this directory; it is made if it is missing")
    .option(
      "--erst <file>",
      "for guests without our driver: add QEMU's acpi-erst device, which stores in FILE; FILE is made if it is " +
        "missing. Without --directory the guest gets no virtio-pstore device",
    )
    .addOption(
      new Option("--vmm <kind>", "what COMMAND is, if its name doesn't say").choices(
        Object.keys(VMMS),
      ),
    );
  addControlOptions(command);
  addDeviceOptions(command)
    .option(
      "--json",
      "print events as JSON lines on stdout; send the guest's serial console elsewhere",
      false,
    )
    .addOption(
      new Option(
        "--panic-status <n>",
        "exit with this status if a panic's record was stored, otherwise with COMMAND's",
      ).argParser(parseStatus),
    )
    .passThroughOptions()
    .action(async (words: string[], options: RunOptions) => {
      const { panicStatus, directory, erst } = options;
      const paths = [directory, erst].filter((path) => path !== undefined);
      process.exitCode =
        panicStatus === undefined
          ? await run(words, options)
          : await withPanicStatus(panicStatus, paths, () => run(words, options));
    });
}

function vmmOf(command: string, named: RunOptions["vmm"]): Vmm {
  if (named !== undefined) return VMMS[named];
  const name = basename(command);
  if (/qemu|^kvm$/.test(name)) return qemu;
  if (/^linux|uml/.test(name)) return uml;
  throw new UserError(
    `${command}: neither a qemu-system-… nor a linux.uml command; say which with --vmm qemu or --vmm uml`,
    USAGE,
  );
}

async function run([command = "", ...args]: string[], options: RunOptions): Promise<number> {
  const { directory, erst } = options;
  const vmm = vmmOf(command, options.vmm);
  if (directory === undefined && erst === undefined) {
    throw new UserError("run needs --directory DIR, where the records are stored", USAGE);
  }
  if (erst !== undefined && vmm !== qemu) {
    throw new UserError(`--erst is for QEMU: ${vmm.name} has no such device`, USAGE);
  }
  // Before there is anything that a signal would leave behind.
  if (directory !== undefined) vmm.check(command, args);
  if (erst !== undefined) checkErst(command, args, erst);
  let folder: RunFolder | undefined;
  const cleanUp = () => {
    folder?.remove();
    folder = undefined;
  };
  const signals: SignalHandler = {
    handle: (name) => {
      cleanUp();
      endBySignal(name);
    },
  };
  onSignals(SIGNALS, (name) => {
    signals.handle(name);
  });
  const all = erst === undefined ? args : [...args, ...erstArguments(erst)];
  const before = erst === undefined ? undefined : erstIds(erst);
  try {
    if (directory === undefined) return await exitStatus({ command, args: all }, signals);
    folder = makeRunFolder();
    const { socketPath } = folder;
    const start = vmm.addDevice(command, all, socketPath);
    return await serveWhile(start, socketPath, { ...options, directory }, signals);
  } finally {
    cleanUp();
    if (erst !== undefined && before !== undefined) tellNew(erst, before);
  }
}

/** Says how many records a guest left in its ERST file. */
function tellNew(path: string, before: ReadonlySet<bigint>): void {
  const count = [...erstIds(path)].filter((id) => !before.has(id)).length;
  if (count > 0) warn(`${path} has ${count === 1 ? "a new record" : `${count} new records`}`);
}

/** Runs the VMM with the back-end beside it, and returns the VMM's exit status. */
async function serveWhile(
  vmm: VmmCommand,
  socketPath: string,
  options: RunOptions & { directory: string },
  signals: SignalHandler,
): Promise<number> {
  const output = outputOf(options);
  const directory = namedDirectory(options.directory);
  const guests = [{ name: "", directory, fd: listenAt(socketPath), connected: false }];
  const settings = { guests, ...deviceSettings(options), syncThreads: 0 };
  const control = controlSettings(options, directory);
  const { json, logLevel } = options;
  const start = { settings, control, json, logLevel, tell: ["stored", "log"] } as const;
  const supervisor = supervise(start, output);
  if (!(await supervisor.ready)) {
    const end = await supervisor.ended;
    removeUnused(control.path);
    expectGoodEnd(end);
    return end.status ?? 1;
  }
  let over = false;
  void supervisor.ended.then(() => {
    if (!over) warn("the back-end has ended: what the guest says from now on is not stored");
  });
  try {
    return await exitStatus(vmm, signals);
  } finally {
    over = true;
    supervisor.stop("SIGTERM");
    const waiting = setTimeout(() => {
      warn("still waiting for the disk; another signal ends the program at once");
    }, STOP_MS);
    await supervisor.ended;
    clearTimeout(waiting);
    removeUnused(control.path);
  }
}

async function exitStatus({ command, args }: VmmCommand, signals: SignalHandler): Promise<number> {
  const { handle } = signals;
  let child: ChildProcess | undefined;
  let count = 0;
  // Before the VMM runs: it may be what sends the signal.
  signals.handle = (name) => {
    count++;
    // A VMM that doesn't end on a signal is killed at the second one.
    child?.kill(count > 1 ? "SIGKILL" : name);
  };
  try {
    child = spawn(command, args, { stdio: "inherit" });
    return await endOf(child);
  } catch (error) {
    throw codeOf(error) === "ENOENT"
      ? new UserError(`${command}: no such command`, 127)
      : new UserError(errorLine(error));
  } finally {
    signals.handle = handle;
  }
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
