import type { Kernel, Struct } from "./kernel/index.js";

/** More than any guest has: pid_max is at most 2^22. */
const MAX_THREADS = 1 << 22;

/** Each process's first thread, `struct task_struct`, in the kernel's order. Without the idle tasks. */
export function* processes(kernel: Kernel): Generator<Struct, void, void> {
  const head = kernel.structAt("task_struct", "init_task").at("tasks");
  yield* kernel.list(head, "task_struct", "tasks");
}

/** All threads: each process's in its order. Without the idle tasks. */
export function* threads(kernel: Kernel): Generator<Struct, void, void> {
  let count = 0;
  for (const leader of processes(kernel)) {
    const signal = kernel.attempt("a process's threads", () => leader.follow("signal"));
    if (signal === undefined) {
      yield leader;
      continue;
    }
    for (const thread of kernel.list(signal.at("thread_head"), "task_struct", "thread_node")) {
      if (count++ === MAX_THREADS) return;
      yield thread;
    }
  }
}

/** The task that pid 1 is in the first pid namespace; undefined where there is none, or not yet. */
export function init(kernel: Kernel): Struct | undefined {
  for (const task of processes(kernel)) {
    if (task.number("pid") === 1) return task;
  }
  return undefined;
}
