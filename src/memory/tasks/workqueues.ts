import { tryToRead } from "../errors.js";
import { guestText, hex } from "../guest-text.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { nameAt } from "../symbol-text.js";
import type { Task } from "./task.js";

/** Work that waits; more isn't counted. */
const MOST_WAITING = 1000;

/** Lists of what waits change where work goes on: they aren't looked at sooner, in ns. */
const LONG = 1_000_000_000n;

/** A worker that has work. */
export interface BusyWorker {
  readonly task: Task;
  /** What it runs: `function [module]`, or an address. */
  readonly work: string;
  /** The workqueue that the work was put in. */
  readonly queue: string;
  /** For how long at least it has been at this work, in ns, as far as the kernel tells. */
  readonly time: bigint | undefined;
  /** How much of the workqueue's work may not begin before this or other work of it ends, where it takes long. */
  readonly waiting: number;
}

/** A pool of workers with work that none of them begins. */
export interface StalledPool {
  /** Undefined where the pool isn't a CPU's. */
  readonly cpu: number | undefined;
  readonly id: number;
  /** Since none was begun, in ns. */
  readonly time: bigint;
  readonly waiting: number;
  /** What comes next. */
  readonly next: string;
}

export interface Workqueues {
  readonly busy: readonly BusyWorker[];
  readonly stalled: readonly StalledPool[];
}

/** What the kernel's workers do. Throws MemoryError where it doesn't describe its clock. */
export function readWorkqueues(kernel: Kernel, tasks: readonly Task[]): Workqueues {
  const since = jiffiesSince(kernel);
  const pools = new Map<bigint, Struct>();
  const busy = tasks.flatMap(
    (task) =>
      kernel.attempt("a worker", () => {
        const worker = task.worker;
        if (worker === undefined) return [];
        const pool = worker.follow("pool");
        if (pool !== undefined) pools.set(pool.address, pool);
        return worker.pointer("current_func") === 0n
          ? []
          : [busyWorker(kernel, task, worker, since)];
      }) ?? [],
  );
  const stalled = [...pools.values()].flatMap(
    (pool) => kernel.attempt("a pool of workers", () => stalledPool(kernel, pool, since)) ?? [],
  );
  return { busy, stalled };
}

/** The function that a workqueue's worker runs; undefined where it is none, or has nothing to do. */
export function workOf(task: Task): string | undefined {
  // What ends meanwhile has none.
  return tryToRead(() => {
    const address = task.worker?.pointer("current_func") ?? 0n;
    return address === 0n ? undefined : functionText(task.kernel, address);
  }, ["TOO_MUCH"]);
}

/** How long ago a time in jiffies was, in ns. */
type Since = (jiffies: bigint) => bigint;

function jiffiesSince(kernel: Kernel): Since {
  // The clock that counts jiffies says how long one is.
  const clock = kernel.structAt("clocksource", "clocksource_jiffies");
  const tick = BigInt(clock.number("mult")) >> BigInt(clock.number("shift") & 63);
  const now = kernel.u64(kernel.expectSymbol("jiffies_64"));
  return (jiffies) => {
    const passed = BigInt.asIntN(64, now - jiffies);
    return passed > 0n ? passed * tick : 0n;
  };
}

function busyWorker(kernel: Kernel, task: Task, worker: Struct, since: Since): BusyWorker {
  const pwq = worker.follow("current_pwq");
  const time = timeAtWork(task, worker, since);
  const isLong = time !== undefined && time >= LONG;
  return {
    ...{ task, time },
    work: functionText(kernel, worker.pointer("current_func")),
    queue: guestText(pwq?.follow("wq")?.text("name") ?? ""),
    waiting:
      isLong && pwq?.has("inactive_works") === true ? countOf(kernel, pwq.at("inactive_works")) : 0,
  };
}

function timeAtWork(task: Task, worker: Struct, since: Since): bigint | undefined {
  if (worker.has("current_start")) return since(worker.u64("current_start"));
  if (!task.isRunning) return task.notRunFor;
  // The CPU's time that it has had for this work.
  if (!worker.has("current_at")) return undefined;
  const had = task.struct.u64("se.sum_exec_runtime") - worker.u64("current_at");
  return had > 0n ? had : 0n;
}

function stalledPool(kernel: Kernel, pool: Struct, since: Since): StalledPool[] {
  const time = since(pool.u64(pool.has("last_progress_ts") ? "last_progress_ts" : "watchdog_ts"));
  if (time < LONG) return [];
  const [first] = worksIn(kernel, pool.at("worklist"));
  if (first === undefined) return [];
  const cpu = pool.number("cpu");
  return [
    {
      cpu: cpu < 0 ? undefined : cpu,
      id: pool.number("id"),
      time,
      waiting: countOf(kernel, pool.at("worklist")),
      next: functionText(kernel, first.pointer("func")),
    },
  ];
}

const worksIn = (kernel: Kernel, head: bigint) => kernel.list(head, "work_struct", "entry");

function countOf(kernel: Kernel, head: bigint): number {
  let count = 0;
  for (const _ of worksIn(kernel, head)) if (++count === MOST_WAITING) break;
  return count;
}

const functionText = (kernel: Kernel, address: bigint): string =>
  guestText(nameAt(kernel, address) ?? hex(address));
