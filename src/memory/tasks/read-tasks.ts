import type { Kernel, Struct } from "../kernel/index.js";
import { type RunQueues, readRunQueues } from "./run-queues.js";
import { Task } from "./task.js";

/** How often a list is walked that changes meanwhile. */
const TRIES = 3;

export interface Tasks {
  /** Each process's threads behind it; the idle tasks aren't among them. */
  readonly tasks: readonly Task[];
  /** The idle tasks that run: their CPUs have nothing to do, or an interrupt. */
  readonly idle: readonly Task[];
  readonly queues: RunQueues;
}

/** All tasks, in the kernel's order. */
export function readTasks(kernel: Kernel): Tasks {
  const queues = readRunQueues(kernel);
  const head = kernel.expectSymbol("init_task");
  const offset = BigInt(kernel.expectTypes().expect("task_struct").offset("tasks"));
  const all: Task[] = [];
  const seen = new Set<bigint>();
  for (const leader of walk(kernel, head + offset, "tasks", "the list of tasks")) {
    for (const struct of [leader, ...threadsOf(kernel, leader)]) {
      if (seen.has(struct.address)) continue;
      seen.add(struct.address);
      // Read now, so that all of it is of one time.
      const task = kernel.attempt("a task", () => {
        struct.number("pid");
        return new Task(kernel, struct, queues);
      });
      if (task !== undefined) all.push(task);
    }
  }
  const idle = queues.list.filter((queue) => queue.current === queue.idle);
  return {
    tasks: all,
    idle: idle.map((queue) => new Task(kernel, kernel.struct("task_struct", queue.idle), queues)),
    queues,
  };
}

function threadsOf(kernel: Kernel, leader: Struct): Struct[] {
  const threads = kernel.attempt("a task's threads", () => {
    const signal = leader.pointer("signal");
    // A task that ends has none.
    if (signal === 0n) return [];
    const head = kernel.expectTypes().expect("signal_struct").offset("thread_head");
    return walk(kernel, signal + BigInt(head), "thread_node", "a process's threads");
  });
  return threads ?? [];
}

/** A list of tasks that is whole: each names the one before. One that changes meanwhile is read again. */
function walk(kernel: Kernel, head: bigint, member: string, what: string): Struct[] {
  for (let tries = 1; ; tries++) {
    const found: Struct[] = [];
    let before = head;
    let isWhole = true;
    for (const struct of kernel.list(head, "task_struct", member)) {
      const previous = kernel.attempt(what, () => struct.pointer(`${member}.prev`));
      if (previous === undefined) break;
      isWhole &&= previous === before;
      before = struct.at(member);
      found.push(struct);
    }
    if (isWhole) return found;
    if (tries === TRIES) {
      kernel.notes.add(
        `${what} isn't whole: it changed while it was read, or when the guest ended`,
      );
      return found;
    }
  }
}
