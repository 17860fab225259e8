import type { Kernel } from "../kernel/index.js";

/** A CPU, as its scheduler has it. */
export interface RunQueue {
  readonly cpu: number;
  /** The address of the task that runs there; that of the idle task. */
  readonly current: bigint;
  readonly idle: bigint;
  /** When the scheduler last looked at its clock there, in ns; each CPU's has about the same zero. */
  readonly clock: bigint;
  /** The same without the time that interrupts and the host took: tasks' times are in it. */
  readonly taskClock: bigint;
  /** Tasks that run or want to. */
  readonly running: number;
}

/** All CPUs' run queues, as they were when they were read. */
export class RunQueues {
  /** In the order of the CPUs. */
  readonly list: readonly RunQueue[];
  /** The latest of the CPUs' clocks: those that sleep stand still. In ns. */
  readonly latestClock: bigint;
  readonly #byCpu: ReadonlyMap<number, RunQueue>;
  readonly #running: ReadonlySet<bigint>;

  constructor(list: readonly RunQueue[]) {
    this.list = list;
    let latest = 0n;
    for (const { clock } of list) if (clock > latest) latest = clock;
    this.latestClock = latest;
    this.#byCpu = new Map(list.map((queue) => [queue.cpu, queue]));
    this.#running = new Set(list.map(({ current }) => current));
  }

  of(cpu: number): RunQueue | undefined {
    return this.#byCpu.get(cpu);
  }

  /** Whether a CPU runs the task at that address. */
  isRunning(task: bigint): boolean {
    return this.#running.has(task);
  }
}

/** Throws MemoryError where the kernel has no types. */
export function readRunQueues(kernel: Kernel): RunQueues {
  kernel.expectTypes();
  return new RunQueues(
    kernel.presentCpus.flatMap((cpu) => {
      const read = () => readRunQueue(kernel, cpu);
      return kernel.attempt(`CPU ${cpu}'s run queue`, read) ?? [];
    }),
  );
}

function readRunQueue(kernel: Kernel, cpu: number): RunQueue {
  const queue = kernel.struct("rq", kernel.perCpuSymbol("runqueues", cpu));
  return {
    cpu,
    current: queue.pointer("curr"),
    idle: queue.pointer("idle"),
    clock: queue.u64("clock"),
    taskClock: queue.u64("clock_task"),
    running: queue.number("nr_running"),
  };
}
