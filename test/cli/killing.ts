import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FakeFrontEnd } from "../support/fake-front-end.js";
import { LONG, until } from "../support/patience.js";
import { daemonOf, type Running, serve, temporaryFolder } from "./support.js";

const preloads = ["refuse-once.cjs", "kill-points.cjs"].map((name) =>
  fileURLToPath(new URL(`../support/${name}`, import.meta.url)),
);

/** A daemon whose threads sleep all for so long has done what it does behind an answer. */
const SETTLE_MS = 50;

/** After so many rounds that no kill met, there are no more steps. */
const MISSES = 3;

/** A server whose daemon can be killed at any step. Its disk is full, once, for data with `refused-WORD` in them. */
export interface KillableServer {
  readonly running: Running;
  readonly records: string;
  readonly socket: string;
  /** Has the daemon killed before its n-th step from the next one on, and not where it was to be killed before. */
  killAt(n: number): void;
  /** Waits until the daemon has nothing to do. */
  settled(): Promise<void>;
  /** Likewise, and whether it is another one than when this was asked last. */
  died(): Promise<boolean>;
}

export async function serveKillable(...options: readonly string[]): Promise<KillableServer> {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const [socket, records] = [at("socket"), at("records")];
  // Where a daemon may read and remove it.
  const file = join(records, ".kill");
  const running = await serve(["--socket-path", socket, "--directory", records, ...options], {
    env: {
      NODE_OPTIONS: preloads.map((preload) => `--require ${preload}`).join(" "),
      KILL_POINT: file,
      REFUSALS: records,
    },
  });
  let daemon = daemonOf(running);
  /** The daemon that is alive. */
  const current = async (): Promise<number> => {
    let pid: number | undefined;
    const isAlive = () => {
      pid = daemonOf(running);
      return running.child.exitCode !== null || (pid !== undefined && !hasEnded(pid));
    };
    await until(isAlive, running.stderr);
    if (pid === undefined) throw new Error(running.stderr());
    return pid;
  };
  const settled = async (): Promise<void> => {
    let before: string | undefined;
    let now = activity(await current());
    while (now === undefined || now !== before) {
      before = now;
      await sleep(SETTLE_MS);
      now = activity(await current());
    }
  };
  return {
    running,
    records,
    socket,
    killAt: (n) => {
      // In one step: the daemon looks for it at any time.
      writeFileSync(`${file}.new`, String(n));
      renameSync(`${file}.new`, file);
    },
    settled,
    died: async () => {
      await settled();
      const before = daemon;
      daemon = await current();
      return daemon !== before;
    },
  };
}

/**
 * So many servers are killed beside each other: a supervisor starts a daemon that ends again and again once in two
 * seconds only.
 */
const SERVERS = LONG ? 14 : 7;

/** How many steps apart two kills are, of all servers together: a kill at each step takes minutes. */
const STEPS_APART = LONG ? 1 : 7;

/** The steps at which one server's daemons are killed, one in each round. */
export interface KillSeries {
  readonly first: number;
  readonly stride: number;
}

/** Runs a test with each series, on servers of their own. `run` returns its rounds; returns all of them together. */
export async function killedBeside(run: (series: KillSeries) => Promise<number>): Promise<number> {
  const all = Array.from({ length: SERVERS }, async (_, i) => {
    const series = { first: i * STEPS_APART, stride: SERVERS * STEPS_APART };
    try {
      return await run(series);
    } catch (cause) {
      throw new Error(`killed at every ${series.stride}th step from ${series.first}`, { cause });
    }
  });
  return (await Promise.all(all)).reduce((sum, rounds) => sum + rounds, 0);
}

/**
 * Does a round of requests again and again, and has the daemon killed some steps later in each, until a
 * round ends before its daemon does. Returns how many rounds there were.
 */
export async function killEverywhere(
  server: KillableServer,
  frontEnd: FakeFrontEnd,
  { first, stride }: KillSeries,
  round: (n: number) => Promise<void>,
): Promise<number> {
  let misses = 0;
  for (let n = 0; ; n++) {
    // It serves again, and has nothing else to do.
    for (let i = 0; i < 2; i++) await frontEnd.barrier();
    server.killAt(first + n * stride);
    await round(n);
    misses = (await server.died()) ? 0 : misses + 1;
    if (misses === MISSES) return n + 1;
  }
}

/** How often each of a process's threads was put to sleep; undefined where one of them doesn't sleep, or is gone. */
function activity(pid: number): string | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/status`, "latin1"),
    );
    if (threads.some((status) => !/^State:\tS/m.test(status))) return undefined;
    return [
      pid,
      ...threads.flatMap((status) => status.match(/^Pid:.*|^.*ctxt_switches:.*/gm)),
    ].join();
  } catch {
    return undefined;
  }
}

/** Whether a process has ended, be its parent told yet or not. */
function hasEnded(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z");
  } catch {
    // ENOENT, or ESRCH where its parent is told between the open and the read.
    return true;
  }
}
