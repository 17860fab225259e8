import { type FSWatcher, readdirSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { ConsoleFollower } from "../analysis/follow.js";
import { PrintablePieces, parseRecordName } from "../records/index.js";
import { USAGE, UserError, warn } from "../service/errors.js";
import { endBySignal, onSignals } from "../service/signals.js";
import { isRead } from "./is-read.js";
import { howRecorded } from "./nothing-found.js";
import { once } from "./option-values.js";
import { expectNoTerminal, writeOut } from "./stdout.js";

interface FollowOptions {
  guest?: string;
  lines: number;
  raw: boolean;
  force: boolean;
  wait: boolean;
}

/** Where nobody tells of changes (a network file system), they are looked for so often. */
const POLL_MS = 500;

const MOST_LINES = 1000;

function parseLines(text: string): number {
  const lines = Number(text);
  if (!/^[0-9]{1,4}$/.test(text) || lines > MOST_LINES) {
    throw new InvalidArgumentError(`It must be a number from 0 to ${MOST_LINES}.`);
  }
  return lines;
}

export function addFollow(program: Command): void {
  program
    .command("follow")
    .summary("show a guest's console as it is written")
    .description(
      "Shows a guest's newest console, which run and serve record with --console, and each new line of it, until " +
        "SIGINT. When the guest boots again, the next console follows. It only reads files and needs no daemon. " +
        "Control characters in the guest's text appear as \\xNN.",
    )
    .argument("<path>", "a directory of records or of guests")
    .option("--guest <name>", "this guest's, if the directory holds several", once)
    .option("-n, --lines <n>", "begin with this many of the last lines", parseLines, 10)
    .option(
      "--wait",
      "wait for a directory that isn't there yet; for a console it always waits",
      false,
    )
    .option("--raw", "print the guest's bytes unchanged; refused on a terminal", false)
    .option("--force", "allow --raw on a terminal", false)
    .action(async (path: string, options: FollowOptions) => {
      await follow(path, options);
    });
}

/** The directory to follow; UserError where it isn't clear which. */
function directoryOf(path: string, guest: string | undefined): string {
  if (!statSync(path).isDirectory()) throw new UserError(`${path} is no directory`);
  const entries = readdirSync(path, { withFileTypes: true });
  const guests = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (guest !== undefined) {
    if (!guests.includes(guest)) throw new UserError(`${path} holds no guest ${guest}`);
    return join(path, guest);
  }
  const [only] = guests;
  if (only === undefined || entries.some(({ name }) => parseRecordName(name) !== undefined)) {
    return path;
  }
  if (guests.length > 1) {
    throw new UserError(`${path} holds several guests: say --guest, ${guests.join(" or ")}`, USAGE);
  }
  return join(path, only);
}

/** Whether there is something by which directoryOf() can tell: a directory that was just made may be one of guests. */
function isThere(path: string, guest: string | undefined): boolean {
  const directory = guest === undefined ? path : join(path, guest);
  const found = statSync(directory, { throwIfNoEntry: false });
  return found !== undefined && (!found.isDirectory() || readdirSync(directory).length > 0);
}

/** Resolves when the directory is there; false where it is waited for no more. */
async function isAwaited(
  path: string,
  { guest }: FollowOptions,
  signal: AbortSignal,
): Promise<boolean> {
  for (let told = false; !isThere(path, guest); told = true) {
    if (!told) warn(`waiting for ${guest === undefined ? path : join(path, guest)}`);
    if (!isRead()) return false;
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
  }
  return true;
}

async function follow(path: string, options: FollowOptions): Promise<void> {
  expectNoTerminal(options);
  const stop = new AbortController();
  onSignals(["SIGINT", "SIGTERM"], (name) => {
    if (stop.signal.aborted) endBySignal(name);
    stop.abort();
  });
  if (options.wait && !(await isAwaited(path, options, stop.signal))) return;
  const directory = directoryOf(path, options.guest);
  const follower = new ConsoleFollower(directory, options.lines);
  let isEnded = true;
  const write = async (text: string | Uint8Array) => {
    if (text.length === 0) return;
    if (!(await writeOut(text))) stop.abort();
    isEnded = text.at(-1) === (typeof text === "string" ? "\n" : 0x0a);
  };
  const changes = new Changes(directory, stop.signal);
  const pieces = new PrintablePieces();
  let shown = false;
  try {
    while (!stop.signal.aborted) {
      const piece = follower.next();
      if (piece === undefined) {
        if (!shown) warn(`waiting for a console in ${directory}${howRecorded("console")}`);
        shown = true;
        if (!isRead()) break;
        await changes.next();
        continue;
      }
      if (piece.begun !== undefined) {
        await write(pieces.end());
        if (!isEnded && process.stdout.isTTY) await write("\n");
        warn(join(directory, piece.begun));
        shown = true;
      }
      await write(options.raw ? piece.bytes : pieces.push(piece.bytes));
    }
    await write(pieces.end());
  } finally {
    changes.close();
    follower.close();
  }
}

/** Changes of a directory and its files: told by the kernel, or looked for from time to time. */
class Changes {
  readonly #signal: AbortSignal;
  readonly #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: () => void = () => undefined;

  constructor(directory: string, signal: AbortSignal) {
    this.#signal = signal;
    try {
      this.#watcher = watch(directory, () => {
        this.#changed = true;
        this.#wake();
      });
      this.#watcher.on("error", () => undefined);
    } catch {
      // No inotify here, or no more of it: polling is enough.
    }
  }

  /** Resolves when something may have changed since the last time, or the signal is aborted. */
  async next(): Promise<void> {
    if (!this.#changed && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#signal.addEventListener("abort", this.#wake, { once: true });
      });
      this.#signal.removeEventListener("abort", this.#wake);
    }
    this.#changed = false;
  }

  close(): void {
    this.#watcher?.close();
  }
}
