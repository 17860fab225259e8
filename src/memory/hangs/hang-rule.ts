import { tryToRead } from "../errors.js";
import type { Kernel } from "../kernel/index.js";
import { type Locks, readLocks, type Wait } from "../locks/locks.js";
import {
  type BusyWorker,
  readTasks,
  readWorkqueues,
  type StalledPool,
  type Task,
} from "../tasks/index.js";
import { BurntTime } from "./burnt-time.js";
import { type CpuProgress, readProgress } from "./cpu-progress.js";

/** From when on a guest hangs, in nanoseconds. */
export interface HangLimits {
  /** Of the host's CPU time, without a timer interrupt on that CPU. */
  readonly interruptsOff: bigint;
  /** Likewise, without the kernel's watchdog thread. */
  readonly stuck: bigint;
  /** Of the guest's time, that a task waits for something that no signal ends, or that a CPU begins no work. */
  readonly blocked: bigint;
}

/** The kernel's own rule (watchdog_thresh): what runs without interrupts is given half the time. */
export function hangLimits(seconds: number): HangLimits {
  const whole = BigInt(Math.round(seconds * 1e9));
  return { interruptsOff: whole / 2n, stuck: whole, blocked: whole };
}

/** What hangs. */
export type Hang =
  | { readonly kind: "deadlock"; readonly circle: readonly Wait[] }
  | { readonly kind: "interrupts-off"; readonly cpu: number }
  | { readonly kind: "stuck"; readonly cpu: number }
  /** `worker`: who is at work there for longest. */
  | { readonly kind: "workqueue"; readonly pool: StalledPool; readonly worker?: BusyWorker }
  | { readonly kind: "blocked"; readonly task: Task };

/** A CPU that took so much of the host's time without getting on, in nanoseconds. */
interface LateCpu {
  readonly kind: "interrupts-off" | "stuck";
  readonly cpu: number;
  readonly time: bigint;
}

/** Looks again and again whether the guest of one boot hangs. */
export class HangRule {
  readonly #limits: HangLimits;
  readonly #interrupts = new Map<number, BurntTime>();
  readonly #watchdog = new Map<number, BurntTime>();
  /** Of the last look: blocked tasks and how often each had waited, and who waits for whom in circles. */
  #blocked: ReadonlyMap<bigint, bigint> = new Map();
  #circles: ReadonlySet<string> = new Set();
  /** Pools of workers that had begun no work. */
  #stalled: ReadonlySet<number> = new Set();

  constructor(limits: HangLimits) {
    this.#limits = limits;
  }

  /**
   * The gravest first. `times`: how long the host ran each CPU so far, in nanoseconds, as far as that is known. What
   * can't be read, or takes too much work, is left out.
   */
  look(kernel: Kernel, times: ReadonlyMap<number, bigint>): Hang[] {
    kernel.forget();
    const part = <T>(read: () => readonly T[]): readonly T[] => {
      kernel.budget.renew();
      return tryToRead(read) ?? [];
    };
    const cpus = part(() => this.#cpus(readProgress(kernel), times));
    const tasks = part(() => readTasks(kernel).tasks);
    const hangs = [
      ...part(() => this.#deadlocks(readLocks(kernel, tasks))),
      ...cpus,
      ...part(() => this.#workqueues(kernel, tasks)),
      ...part(() => this.#blockedTasks(kernel, tasks)),
    ];
    kernel.notes.take();
    return hangs;
  }

  #cpus(progress: readonly CpuProgress[], times: ReadonlyMap<number, bigint>): Hang[] {
    const late = progress.flatMap(({ cpu, interrupts, watchdog, isIdle }): LateCpu[] => {
      const time = times.get(cpu);
      const withoutInterrupts = burnt(this.#interrupts, cpu).look(interrupts, time);
      // An idle CPU takes interrupts, but runs no threads.
      const withoutWatchdog = burnt(this.#watchdog, cpu).look(isIdle ? undefined : watchdog, time);
      if (withoutInterrupts >= this.#limits.interruptsOff) {
        return [{ kind: "interrupts-off", cpu, time: withoutInterrupts }];
      }
      if (withoutWatchdog < this.#limits.stuck) return [];
      return [{ kind: "stuck", cpu, time: withoutWatchdog }];
    });
    // A CPU that waits for the one that hangs looks the same: the first one is it.
    late.sort((a, b) => (a.kind === b.kind ? order(b.time, a.time) : order(a.kind, b.kind)));
    return late.map(({ kind, cpu }) => ({ kind, cpu }));
  }

  /**
   * Tasks go from lock to lock while they are read: what is in a circle twice stays there. Of a lock that doesn't say for
   * sure who holds it, the holder may have let go.
   */
  #deadlocks({ deadlocks }: Locks): Hang[] {
    const sure = deadlocks.filter((circle) => circle.every(({ how }) => how === undefined));
    const found = new Map(sure.map((circle) => [circleKey(circle), circle]));
    const known = this.#circles;
    this.#circles = new Set(found.keys());
    return [...found]
      .filter(([key]) => known.has(key))
      .map(([, circle]) => ({ kind: "deadlock", circle }));
  }

  /** Of a guest that was paused, the clock may have gone on: its workers begin at once. */
  #workqueues(kernel: Kernel, tasks: readonly Task[]): Hang[] {
    const { busy, stalled } = readWorkqueues(kernel, tasks);
    const late = stalled.filter(({ time }) => time >= this.#limits.blocked);
    const known = this.#stalled;
    this.#stalled = new Set(late.map(({ id }) => id));
    return late
      .filter(({ id }) => known.has(id))
      .map((pool) => {
        const [worker] = busy
          .filter(({ task }) => pool.cpu === undefined || task.cpu === pool.cpu)
          .sort((a, b) => order(b.time ?? 0n, a.time ?? 0n));
        return { kind: "workqueue", pool, ...(worker === undefined ? {} : { worker }) };
      });
  }

  #blockedTasks(kernel: Kernel, tasks: readonly Task[]): Hang[] {
    const found = new Map<bigint, bigint>();
    const late: { readonly task: Task; readonly time: bigint }[] = [];
    for (const task of tasks) {
      kernel.attempt("a task", () => {
        // The kernel's own detector leaves those out that a deadly signal ends, too: a wait for NFS, a parent of vfork(2).
        if (!task.isBlocked || task.isKillable) return;
        const time = task.notRunFor;
        if (time === undefined || time < this.#limits.blocked) return;
        const waits = task.struct.u64("nvcsw");
        found.set(task.struct.address, waits);
        if (this.#blocked.get(task.struct.address) === waits) late.push({ task, time });
      });
    }
    this.#blocked = found;
    late.sort((a, b) => order(b.time, a.time));
    return late.map(({ task }) => ({ kind: "blocked", task }));
  }
}

function burnt(times: Map<number, BurntTime>, cpu: number): BurntTime {
  const time = times.get(cpu) ?? new BurntTime();
  times.set(cpu, time);
  return time;
}

const order = <T extends bigint | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

const circleKey = (circle: readonly Wait[]): string =>
  circle.map(({ task, lock }) => `${task.address} ${lock.address}`).join(" ");
