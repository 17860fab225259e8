import { lstatSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as afterSignals, setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import {
  Arrivals,
  type CrashReader,
  findEnds,
  isSettled,
  QUIET_MS,
  watchedFolders,
} from "../analysis/index.js";
import { ENDS_NAME } from "../records/index.js";
import { UserError, warn } from "../service/errors.js";
import { endBySignal, onSignals } from "../service/signals.js";
import { type Tellable, WatchState } from "../service/watch/watch-state.js";
import { runForCrash, runForEnd } from "./crash-command.js";
import { addFilterOptions, type CrashFilter, isEndWanted, isWanted } from "./crash-filter.js";
import { CrashesAt, newReader } from "./crashes-at.js";
import { silentEnds } from "./ended.js";
import { notEmpty } from "./option-values.js";
import { recordsAt, tellNoGuest } from "./records-at.js";

interface WatchOptions extends CrashFilter {
  readonly exec: string;
  readonly state?: string;
  readonly all: boolean;
  readonly ends: boolean;
  readonly once: boolean;
}

/** So often a path is looked at: at directories' times, which a new record changes, or for a file's records. */
const POLL_MS = 1000;

/** A look ends after so long, and the next one goes on: what one guest floods doesn't keep others waiting. */
const LOOK_MS = 2000;

/** What a look has left to do, and when to look again though nothing changes. */
const AGAIN_MS = {
  nothing: Number.POSITIVE_INFINITY,
  /** A crash's last part hasn't come. */
  parts: 2000,
  /** More crashes than it had time for. */
  crashes: 0,
  /** The command can't be run. */
  command: 10_000,
} as const;

/** So many names of records that are gone are worth making the file anew. */
const MAX_STALE = 1000;

export function addWatch(program: Command): void {
  const command = program
    .command("watch")
    .summary("run a command once for each new crash")
    .description(
      "Runs a command for each new crash, until SIGTERM, SIGINT or SIGHUP. A crash counts as new when its last part " +
        "is stored, or when no part came for 10 s. A file remembers the crashes, so that the command runs once for " +
        "each, also after watch was started again; a command that was killed with watch runs again. The command gets " +
        "VIRTIO_PSTORE_PATH and VIRTIO_PSTORE_CRASH, which show takes, and, as far as they are known, _GUEST, _TIME, " +
        "_TITLE, _SIGNATURE, _KIND, _REASON, _RELEASE, _TAINT, _CPU, _TASK, _PID and _BOOT. With --ends it also runs " +
        "for each guest that ended without a dump: then _KIND is ended, _CRASH is not set, and _LAST_LINE is the " +
        "last line of the guest's console. The guest chooses these values: print them with printf %s, and give them " +
        "neither to echo nor to eval. Commands run one after another: put timeout before one that can hang. watch " +
        "reports a command that fails, and goes on.",
    )
    .argument("<path>", "a directory of records or of guests, or an ERST file")
    .requiredOption("--exec <command>", "the command, which /bin/sh runs", notEmpty)
    .option(
      "--state <file>",
      "remember the crashes in this file (default: .watched in PATH)",
      notEmpty,
    )
    .option("--all", "the first time, run it also for the crashes that are there already", false)
    .option("--ends", "run it also for each guest that ended without a dump", false)
    .option(
      "--once",
      "look once, and end when the commands have ended; an ERST file with a new record takes 10 s",
      false,
    );
  addFilterOptions(command).action((path: string, options: WatchOptions) => watch(path, options));
}

async function watch(path: string, options: WatchOptions): Promise<void> {
  tellNoGuest(path, options);
  const state = new WatchState(
    options.state === undefined ? defaultState(path) : named(options.state),
  );
  const stop = new AbortController();
  // The command isn't the terminal's, and goes on where that is closed.
  onSignals(["SIGTERM", "SIGINT", "SIGHUP"], (name) => {
    if (stop.signal.aborted) endBySignal(name);
    stop.abort();
  });
  // The times of an ERST file's records are the guest's claim.
  const arrivals = statSync(path).isDirectory() ? undefined : new Arrivals();
  const complaints = new Complaints();
  const reader = newReader(complaints.tell);
  const watching = { state, complaints, reader, arrivals, stop: stop.signal };
  const wait = (ms: number) => sleep(ms, undefined, { signal: stop.signal }).catch(() => undefined);
  let seen = "";
  let left: keyof typeof AGAIN_MS = "nothing";
  let againMs = 0;
  let waited = false;
  while (!stop.signal.aborted) {
    const stamp = stampOf(path);
    if (stamp !== seen || performance.now() >= againMs) {
      left = await look(path, options, watching);
      againMs = performance.now() + AGAIN_MS[left];
      seen = stamp;
    }
    if (left === "crashes") {
      await afterSignals();
      continue;
    }
    if (options.once && (left !== "parts" || waited || arrivals === undefined)) break;
    waited = options.once;
    if (waited) warn(`waiting ${QUIET_MS / 1000} s: more of a crash may come`);
    await wait(waited ? QUIET_MS + POLL_MS : POLL_MS);
  }
  if (options.once && left === "command") process.exitCode = 1;
  state.close();
}

/** Says what can't be read, but not again what the look before said, too. */
class Complaints {
  #before = new Set<string>();
  #now = new Set<string>();

  readonly tell = (line: string): void => {
    if (!this.#before.has(line) && !this.#now.has(line)) warn(line);
    this.#now.add(line);
  };

  nextLook(): void {
    this.#before = this.#now;
    this.#now = new Set();
  }
}

/** What one look leaves to the next. */
interface Watching {
  readonly state: WatchState;
  readonly complaints: Complaints;
  readonly reader: CrashReader;
  readonly arrivals: Arrivals | undefined;
  readonly stop: AbortSignal;
}

/** Runs the command for the crashes that are there and weren't told. */
async function look(
  path: string,
  options: WatchOptions,
  { state, complaints, reader, arrivals, stop }: Watching,
): Promise<keyof typeof AGAIN_MS> {
  // What is there the first time isn't new, whatever is asked for: nor is it for another filter.
  const quietly = state.isNew && !options.all;
  complaints.nextLook();
  const at = new CrashesAt(path, {}, reader, complaints.tell);
  const fresh = at.crashes.filter((crash) => !state.has(crash));
  arrivals?.note(at.crashes);
  const settled = fresh.filter((crash) =>
    arrivals === undefined ? isSettled(crash) : quietly || arrivals.isSettled(crash),
  );
  if (state.isNew) state.begin(quietly ? [...settled, ...at.ends] : []);
  const freshEnds = at.ends.filter((end) => !state.has(end) && isEndWanted(end, options));
  const ends = options.ends ? silentEnds(freshEnds, at.records) : [];
  const untilMs = performance.now() + LOOK_MS;
  let left: keyof typeof AGAIN_MS = settled.length < fresh.length ? "parts" : "nothing";
  for (const one of quietly ? [] : inTurn([...settled, ...ends])) {
    if (stop.aborted) break;
    if (performance.now() > untilMs) {
      left = "crashes";
      break;
    }
    if ("dump" in one && !isWanted(one, options, (crash) => at.facts(crash))) continue;
    const isRun =
      "dump" in one
        ? runForCrash(path, options.exec, one, at.facts(one))
        : runForEnd(path, options.exec, one);
    if (!(await isRun)) {
      left = "command";
      break;
    }
    state.add(one);
  }
  at.close();
  if (state.size > at.records.length + at.ends.length + MAX_STALE) forget(state, path);
  return left;
}

/** Each guest's oldest first, then each one's next: none waits for all that another has. */
function inTurn<T extends Tellable>(all: readonly T[]): T[] {
  const counts = new Map<string, number>();
  const turns = all.map((one) => {
    const turn = counts.get(one.guest) ?? 0;
    counts.set(one.guest, turn + 1);
    return { one, turn };
  });
  return turns.sort((a, b) => a.turn - b.turn).map(({ one }) => one);
}

function defaultState(path: string): string {
  if (statSync(path).isDirectory()) return join(path, ".watched");
  throw new UserError(`${path} is no directory: say with --state where to keep what was told`);
}

/** A link that the user names is followed, none that lies in a directory of records. */
function named(path: string): string {
  return statSync(path, { throwIfNoEntry: false }) === undefined ? path : realpathSync(path);
}

/** Forgets what was told of records that are gone; not where some can't be seen now. */
function forget(state: WatchState, path: string): void {
  const { files, skipped } = recordsAt(path);
  const unread: unknown[] = [];
  const ends = findEnds(path, (error) => unread.push(error));
  if (skipped.length + unread.length === 0 && files.length > 0) state.keep(files, ends);
}

/**
 * Changes whenever a record appears, or a guest ends: a directory's own time, and its guests', and that of what is
 * kept of their ends; of an ERST file its records'
 * names, for QEMU writes it through a mapping, which doesn't change its time at once.
 */
function stampOf(path: string): string {
  if (!statSync(path).isDirectory()) {
    return recordsAt(path)
      .files.map(({ name }) => name)
      .join("\n");
  }
  const times = ["", ...watchedFolders(path)].map((name) => {
    const records = statSync(join(path, name), { throwIfNoEntry: false })?.mtimeMs;
    const ends = lstatSync(join(path, name, ENDS_NAME), { throwIfNoEntry: false })?.mtimeMs;
    return `${name} ${records} ${ends}`;
  });
  return times.join("\n");
}
