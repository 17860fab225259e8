import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { ErstCopier } from "../../erst/copier.js";
import { ErstError, usersOf } from "../../erst/index.js";
import { whilePaused } from "../../erst/qmp.js";
import { errorLine, warn } from "../errors.js";
import { onSignals } from "../signals.js";
import { formatSize } from "../size.js";
import { erstError } from "./open.js";

interface WatchOptions {
  readonly directory: string;
  readonly qmp?: string;
  readonly clear: boolean;
  readonly once: boolean;
}

/** How often the map of record ids is looked at: a write through a mapping tells nobody. */
const POLL_MS = 250;

/** How often processes are looked through for one that uses the file. */
const USERS_MS = 5000;

export function addWatch(erst: Command): void {
  erst
    .command("watch")
    .summary("copy each new record of an ERST file into a directory")
    .description(
      "Looks at the file four times a second, and copies each record once, as soon as it is whole; also " +
        "those that were there before, and none again after a restart. Runs until SIGTERM or SIGINT. " +
        "A record's slot is cleared when the record is in the directory, so that the store never fills " +
        "up: with --qmp while QEMU is paused for a moment, with --clear alone after QEMU has ended.",
    )
    .argument("<file>", "the acpi-erst device's file")
    .requiredOption("--directory <dir>", "where records are copied to; one for each file")
    .addOption(
      new Option("--qmp <socket>", "QEMU's monitor, as in -qmp unix:SOCKET,server=on,wait=off"),
    )
    .option("--clear", "clear copied records once no process uses the file", false)
    .option("--once", "copy what is there, and end", false)
    .action(watch);
}

async function watch(path: string, options: WatchOptions): Promise<void> {
  const stopped = new AbortController();
  onSignals(["SIGTERM", "SIGINT"], () => {
    stopped.abort();
  });
  const copier = open(path, options);
  try {
    const clearer = new Clearer(path, copier, options);
    do {
      copier.copy();
      await clearer.clear();
      if (options.once) break;
      await sleep(POLL_MS, undefined, { signal: stopped.signal }).catch(() => undefined);
    } while (!stopped.signal.aborted);
  } catch (error) {
    throw erstError(path, error);
  } finally {
    copier.close();
  }
}

function open(path: string, { directory, once }: WatchOptions): ErstCopier {
  const failed = new Set<bigint>();
  try {
    return new ErstCopier({
      path,
      directory,
      onStored: (stored, size) => {
        warn(`stored ${stored} (${formatSize(size)})`);
      },
      onDropped: ({ paths, type }) => {
        warn(`the room for ${type} is full: removed ${paths.join(", ")}`);
      },
      onFailed: (id, error) => {
        if (failed.has(id)) return;
        failed.add(id);
        warn(`record 0x${id.toString(16)} wasn't copied: ${errorLine(error)}`);
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
  #lookedMs = Number.NEGATIVE_INFINITY;
  #told = "";

  constructor(path: string, copier: ErstCopier, options: WatchOptions) {
    this.#path = path;
    this.#copier = copier;
    this.#options = options;
  }

  async clear(): Promise<void> {
    const { qmp, clear, once } = this.#options;
    if (qmp === undefined && !clear) return;
    if (this.#copier.clearable === 0) return;
    if (!once && performance.now() - this.#lookedMs < USERS_MS) return;
    this.#lookedMs = performance.now();
    try {
      const [user] = usersOf(this.#path);
      if (user === undefined) this.#copier.clear();
      else if (qmp !== undefined) await whilePaused(qmp, () => this.#copier.clear());
      else if (once) {
        warn(`nothing was cleared: process ${user.pid} (${user.command}) uses the file`);
        process.exitCode = 1;
      }
      this.#told = "";
    } catch (error) {
      if (error instanceof ErstError) throw error;
      const line = `copied records can't be cleared: ${errorLine(error)}`;
      if (line !== this.#told) warn(line);
      this.#told = line;
    }
  }
}
