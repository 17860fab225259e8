import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { MemoryError } from "../memory/errors.js";
import { hangLimits } from "../memory/hangs/index.js";
import { openMemory, type PhysicalMemory } from "../memory/index.js";
import { kernelFits } from "../memory/kernel-fits.js";
import { VcpuThreads } from "../memory/source/vcpu-threads.js";
import { AttachedGuest, type WatchEnd } from "../service/attach/attached-guest.js";
import { ExitHold } from "../service/attach/exit-hold.js";
import { errorLine, LEVELS, type Level, USAGE, UserError } from "../service/errors.js";
import { LogLimiter } from "../service/log/log-limiter.js";
import { outputOf } from "../service/log/output.js";
import { StoreLog } from "../service/log/store-log.js";
import { endBySignal, onSignals } from "../service/signals.js";
import { DirectoryStore, errorText } from "../store/index.js";
import type { LogEvent } from "../virtio/vhost-user/index.js";
import { namedDirectory } from "./guest-directory.js";
import { parsePid } from "./inspect/pid.js";
import { addLimitOptions, type LimitOptions, limitSettings } from "./limit-options.js";
import { notEmpty } from "./option-values.js";

interface AttachOptions extends LimitOptions {
  readonly pid?: number;
  readonly memory?: string;
  readonly layout?: string;
  readonly directory: string;
  readonly poll: number;
  readonly hangAfter: number | "off";
  readonly hold: boolean;
  readonly json: boolean;
  readonly logLevel: Level;
}

/** In milliseconds: so long a VMM that was just started is waited for. */
const START_MS = 3000;
const START_LOOK_MS = 100;

/** In milliseconds: while a guest panics, its VMM may be about to end. */
const PANIC_POLL_MS = 5;

/** An option's parser for whole numbers within bounds. */
const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const number = Number(text);
    if (/^[0-9]{1,6}$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };

const parseHangAfter = (text: string): number | "off" =>
  text === "off" ? text : wholeNumber(4, 3600)(text);

export function addAttach(program: Command): void {
  const command = program
    .command("attach")
    .summary("record a running guest that has no driver, out of its memory")
    .description(
      "Watches the Linux in a guest's memory, without a driver or anything else in the guest, until its VMM ends or " +
        "SIGINT. Its log becomes a console, a panic becomes a crash, and so does a hang. Name the VMM's process with " +
        "--pid, or the file behind the guest's memory with --memory.",
    )
    .addOption(
      new Option("--pid <pid>", "watch the guest of this VMM's process").argParser(parsePid),
    )
    .option("--memory <file>", "watch the guest whose memory is in this file", notEmpty)
    .option(
      "--layout <layout>",
      "where the guest has the memory that is in the file: q35, pc, microvm, or START+SIZE,…",
    )
    .requiredOption(
      "--directory <dir>",
      "store records in this directory; it is made if it is missing",
    )
    .addOption(
      new Option("--poll <ms>", "how often the guest's log is looked at, in milliseconds")
        .argParser(wholeNumber(1, 60_000))
        .default(100),
    )
    .addOption(
      new Option(
        "--hang-after <seconds>",
        "the guest hangs when a task is blocked or a CPU is stuck for so long, or without interrupts for half of it; off",
      )
        .argParser(parseHangAfter)
        .default(20),
    );
  command.option(
    "--hold",
    "hold the VMM at its exit, by ptrace(2), until its memory was read: for memory that isn't shared",
    false,
  );
  addLimitOptions(command)
    .option("--json", "print events as JSON lines on stdout, not as lines on stderr", false)
    .addOption(new Option("--log-level <level>", "what to report").choices(LEVELS).default("info"))
    .action(attach);
}

async function attach(options: AttachOptions): Promise<void> {
  const { pid, layout, poll, hold: isHeld } = options;
  const source = pid ?? options.memory;
  if (source === undefined || (pid !== undefined && options.memory !== undefined)) {
    throw new UserError(
      "name either a VMM's process with --pid, or a memory file with --memory",
      USAGE,
    );
  }
  if (isHeld && pid === undefined) {
    throw new UserError("--hold is for a VMM's process, named with --pid", USAGE);
  }
  const stop = new AbortController();
  onSignals(["SIGINT", "SIGTERM"], (name) => {
    if (stop.signal.aborted) endBySignal(name);
    stop.abort();
  });
  let vcpus: VcpuThreads | undefined;
  let hold: ExitHold | undefined;
  try {
    if (pid !== undefined) vcpus = new VcpuThreads(pid);
    if (pid !== undefined && isHeld) hold = await startHold(pid);
    const open = () =>
      openMemory(source, { ...(layout === undefined ? {} : { layout }), fits: kernelFits });
    // Before the directory is made.
    const memory = await openWhenMapped(open);
    const { store, log, tellRest } = openStore(options);
    const hangs = options.hangAfter === "off" ? undefined : hangLimits(options.hangAfter);
    const guest = new AttachedGuest({ memory, open, vcpus, store, hangs, log });
    let end: WatchEnd = "stopped";
    try {
      end = await watch(guest, { vcpus, poll, signal: stop.signal, exits: hold?.exits, log });
    } finally {
      guest.end(end);
      await new Promise<void>((resolve) => {
        store.close(resolve);
      });
      tellRest();
    }
  } catch (error) {
    throw error instanceof MemoryError
      ? new UserError(`${named(source)}: ${error.message}`)
      : error;
  } finally {
    hold?.letGo();
    vcpus?.close();
  }
}

/** A VMM that was just started maps its guest's memory in a moment. */
async function openWhenMapped(open: () => PhysicalMemory): Promise<PhysicalMemory> {
  for (let tries = START_MS / START_LOOK_MS; ; tries--) {
    try {
      return open();
    } catch (error) {
      if (tries === 0 || !(error instanceof MemoryError && error.code === "NOT_MEMORY"))
        throw error;
    }
    await sleep(START_LOOK_MS);
  }
}

async function startHold(pid: number): Promise<ExitHold> {
  try {
    return await ExitHold.start(pid);
  } catch (error) {
    throw new UserError(
      `pid ${pid} can't be held at its exit (${errorLine(error)}): be root, have CAP_SYS_PTRACE, or be its user where ` +
        "kernel.yama.ptrace_scope is 0; no debugger may trace it",
    );
  }
}

const named = (source: string | number): string =>
  typeof source === "number" ? `pid ${source}` : source;

interface Watch {
  readonly vcpus: VcpuThreads | undefined;
  readonly poll: number;
  readonly signal: AbortSignal;
  /** Aborted when the VMM is held at its exit. */
  readonly exits: AbortSignal | undefined;
  readonly log: (event: LogEvent) => void;
}

/** Until the VMM ends, or the signal comes. */
async function watch(
  guest: AttachedGuest,
  { vcpus, poll, signal, exits, log }: Watch,
): Promise<WatchEnd> {
  const wakes = AbortSignal.any([signal, ...(exits === undefined ? [] : [exits])]);
  while (!signal.aborted) {
    // Looked at before: of memory that stays, the last of the log can be read behind the VMM's end.
    const hasEnded = vcpus?.hasEnded === true || exits?.aborted === true;
    let isMore: boolean;
    try {
      isMore = guest.poll();
    } catch (error) {
      if (!(error instanceof MemoryError && error.code === "ENDED")) throw error;
      log({ level: "info", code: "ENDED", message: error.message });
      return "lost";
    }
    if (hasEnded && !isMore) return "ended";
    const ms = isMore ? 0 : guest.isPanicking ? Math.min(poll, PANIC_POLL_MS) : poll;
    await sleep(ms, undefined, { signal: wakes }).catch(() => undefined);
  }
  return "stopped";
}

function openStore(options: AttachOptions): {
  readonly store: DirectoryStore;
  readonly log: (event: LogEvent) => void;
  /** What the limiter held back. */
  readonly tellRest: () => void;
} {
  const output = outputOf(options);
  const limiter = new LogLimiter<LogEvent>((event, suppressed) => {
    output({ kind: "log", guest: "", ...event, suppressed });
  });
  const log = (event: LogEvent) => {
    limiter.log(event.code, event);
  };
  const storeLog = new StoreLog(log);
  const directory = namedDirectory(options.directory);
  const store = new DirectoryStore(directory, {
    ...limitSettings(options),
    after: (delayMs, task) => {
      setTimeout(task, delayMs).unref();
    },
    onStored: ({ path, size }) => {
      output({ kind: "stored", guest: "", path, size });
    },
    onDropped: (dropped) => {
      storeLog.dropped(dropped);
    },
    onRefused: (type, bytes, why) => {
      storeLog.refused(type, bytes, why);
    },
    onSyncError: (number) => {
      const message = `what was taken could not be synced: ${errorText(directory, number)}`;
      log({ level: "error", code: "SYNC", message });
    },
  });
  const tellRest = () => {
    limiter.end();
  };
  return { store, log, tellRest };
}
