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

/** Throws MemoryError where the kernel has no types. */
export function readRunQueues(kernel: Kernel): RunQueue[] {
  kernel.expectTypes();
  return kernel.presentCpus.flatMap((cpu) => {
    const read = () => readRunQueue(kernel, cpu);
    return kernel.attempt(`CPU ${cpu}'s run queue`, read) ?? [];
  });
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

/** The latest of the CPUs' clocks: those that sleep stand still. In ns. */
export function latestClock(queues: readonly RunQueue[]): bigint {
  let latest = 0n;
  for (const { clock } of queues) if (clock > latest) latest = clock;
  return latest;
}
