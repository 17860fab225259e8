import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { ErstCopier } from "../../formats/erst/copier.js";
import { ErstError, usersOf } from "../../formats/erst/index.js";
import { isUnanswered, whilePaused } from "../../formats/erst/qmp.js";
import type { Left } from "../../formats/erst/slot-watch.js";
import { errorLine, warn } from "../../service/errors.js";
import { LogLimiter } from "../../service/log/log-limiter.js";
import { textOutput } from "../../service/log/output.js";
import { StoreLog } from "../../service/log/store-log.js";
import { onSignals } from "../../service/signals.js";
import { RefusedError } from "../../store/index.js";
import type { LogEvent } from "../../virtio/vhost-user/index.js";
import { addLimitOptions, type LimitOptions, limitSettings } from "../limit-options.js";
import { erstError } from "./open.js";

interface WatchOptions extends LimitOptions {
  readonly directory: string;
  readonly qmp?: string;
  readonly clear: boolean;
  readonly once: boolean;
}

/** How often the map of record ids is looked at: a write through a mapping tells nobody. */
const POLL_MS = 250;

/** A large store full of records takes long to look at: no more than a fifth of a processor goes into it. */
const PAUSE_PER_LOOK = 4;

/** What is being written over at this moment is whole in one of so many looks. */
const LOOKS_ONCE = 4;

/** How long after an attempt to clear the next one may begin. */
const CLEAR_MS = 5000;

export function addWatch(erst: Command): void {
  const command = erst
    .command("watch")
    .summary("copy each new record of an ERST file into a directory")
    .description(
      "Copies each record of the file once, as soon as it is whole, until SIGTERM or SIGINT. It looks at the file " +
        "four times a second, and remembers what it copied. With --qmp or --clear it then clears the record's slot, so " +
        "that the store doesn't fill up: with --qmp while QEMU is paused for a moment, with --clear alone once no " +
        "process uses the file, which only root can see of everybody's. Records that weren't copied aren't cleared. " +
        "The bounds for dmesg hold: --rate for all that is read (records beyond it wait in their slots), --max-records " +
        "and --max-bytes for dumps, and the same again for all other records, which are never dropped.",
    )
    .argument("<file>", "the acpi-erst device's file")
    .requiredOption(
      "--directory <dir>",
      "copy records into this directory; each file needs its own",
    )
    .addOption(
      new Option(
        "--qmp <socket>",
        "clear records by QEMU's monitor, made with -qmp unix:SOCKET,server=on,wait=off",
      ),
    )
    .option("--clear", "clear records once no process uses the file", false)
    .option("--once", "copy what is there, at any rate, and end", false);
  addLimitOptions(command).action(watch);
}

async function watch(path: string, options: WatchOptions): Promise<void> {
  const stopped = new AbortController();
  onSignals(["SIGTERM", "SIGINT"], () => {
    stopped.abort();
  });
  const limiter = new LogLimiter<LogEvent>((event, suppressed) => {
    textOutput({ kind: "log", guest: "", ...event, suppressed });
  });
  const log = (event: LogEvent) => {
    limiter.log(event.code, event);
  };
  const copier = open(path, options, log);
  try {
    const clearer = new Clearer(path, copier, options, stopped.signal);
    for (let looks = 1; !stopped.signal.aborted; looks++) {
      const began = process.cpuUsage();
      const left = copier.copy();
      if (left.late > 0) {
        const message = `${left.late} records wait: they exceed the rate limit`;
        log({ level: "warn", code: "RATE", message });
      }
      const isLast = options.once && (left.busy === 0 || looks === LOOKS_ONCE);
      if (!options.once || isLast) await clearer.clear();
      if (isLast) {
        tellLeft(left);
        break;
      }
      const { user, system } = process.cpuUsage(began);
      const pauseMs = Math.max(POLL_MS, (PAUSE_PER_LOOK * (user + system)) / 1000);
      await sleep(pauseMs, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  } catch (error) {
    throw erstError(path, error);
  } finally {
    limiter.end();
    copier.close();
  }
}

function tellLeft({ busy }: Left): void {
  if (busy === 0) return;
  warn(`${busy} records weren't copied: they are being written`);
  process.exitCode = 1;
}

function open(path: string, options: WatchOptions, log: (event: LogEvent) => void): ErstCopier {
  const { directory, once } = options;
  const { quotas, rates, minFree } = limitSettings(options);
  const storeLog = new StoreLog(log);
  try {
    return new ErstCopier({
      path,
      directory,
      quotas,
      // What is there is no more than the file holds.
      rates: once ? {} : rates,
      minFree,
      onStored: (stored, size) => {
        textOutput({ kind: "stored", guest: "", path: stored, size });
      },
      onDropped: (dropped) => {
        storeLog.dropped(dropped);
      },
      onDamaged: (id, damage) => {
        const message = `record 0x${id.toString(16)} was copied as it is, and is damaged: ${damage}`;
        log({ level: "warn", code: "DAMAGED", message });
      },
      onFailed: (id, error) => {
        const [code, why] =
          error instanceof RefusedError
            ? [error.refusal, error.detail]
            : ["FAILED", errorLine(error)];
        const message = `record 0x${id.toString(16)} wasn't copied: ${why}`;
        log({ level: "warn", code, message });
        // Without --once it is tried again.
        if (once) process.exitCode = 1;
      },
    });
  } catch (error) {
    throw erstError(path, error);
  }
}

/** Clears copied records where that was asked for, and can be done. */
class Clearer {
  readonly #path: string;
  readonly #copier: ErstCopier;
  readonly #options: WatchOptions;
  readonly #stopped: AbortSignal;
  #triedMs = Number.NEGATIVE_INFINITY;
  #told = "";

  constructor(path: string, copier: ErstCopier, options: WatchOptions, stopped: AbortSignal) {
    this.#path = path;
    this.#copier = copier;
    this.#options = options;
    this.#stopped = stopped;
  }

  async clear(): Promise<void> {
    const { qmp, clear, once } = this.#options;
    if (qmp === undefined && !clear) return;
    if (this.#copier.clearable === 0) return;
    if (!once && performance.now() - this.#triedMs < CLEAR_MS) return;
    try {
      if (qmp !== undefined && (await this.#clearPaused(qmp))) return;
      const [user] = usersOf(this.#path);
      if (user === undefined) this.#copier.clear();
      else if (qmp !== undefined || once) {
        const nobody = qmp === undefined ? "" : `, and nobody answers at ${qmp}`;
        throw new Error(`process ${user.pid} (${user.command}) uses the file${nobody}`);
      }
      this.#told = "";
    } catch (error) {
      if (error instanceof ErstError) throw error;
      const line = `copied records can't be cleared: ${errorLine(error)}`;
      if (line !== this.#told) warn(line);
      this.#told = line;
      if (once) process.exitCode = 1;
    } finally {
      // Behind an attempt that took long, too, there is a pause.
      this.#triedMs = performance.now();
    }
  }

  /** False where there is no monitor, as after QEMU's end. One answers also for a QEMU that /proc doesn't show. */
  async #clearPaused(qmp: string): Promise<boolean> {
    try {
      await whilePaused(qmp, () => this.#copier.clear(), this.#stopped);
      this.#told = "";
      return true;
    } catch (error) {
      if (isUnanswered(error)) return false;
      throw error;
    }
  }
}
