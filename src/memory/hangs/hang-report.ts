import { guestText } from "../guest-text.js";
import type { Kernel } from "../kernel/index.js";
import { deadlockText, type Wait } from "../locks/locks.js";
import { Stacks, stackLines } from "../stacks/index.js";
import { RunQueues, readTasks, type Task, type Tasks } from "../tasks/index.js";
import type { Hang } from "./hang-rule.js";

/** More stacks than these are of no use to a person. */
const MAX_STACKS = 64;

/**
 * What hangs, if anything does, then what each CPU runs and each blocked task, with their stacks as the kernel prints
 * them. Other lines begin with `virtio-pstore: `.
 */
export function hangReport(kernel: Kernel, hangs: readonly Hang[]): string[] {
  const tasks = kernel.attempt("tasks", () => readTasks(kernel)) ?? NO_TASKS;
  const stacks = new Stacks(kernel);
  const shown = new Set<bigint>();
  const stackOf = (task: Task | undefined): string[] => {
    if (task === undefined || shown.has(task.struct.address)) return [];
    shown.add(task.struct.address);
    if (shown.size > MAX_STACKS) return [];
    return kernel.attempt(`task ${task.pid}'s stack`, () => linesOf(task, stacks)) ?? [];
  };
  const byAddress = new Map(
    [...tasks.tasks, ...tasks.idle].map((task) => [task.struct.address, task]),
  );
  const running = (cpu: number) => byAddress.get(tasks.queues.of(cpu)?.current ?? 0n);
  const blocked = tasks.tasks.filter(
    (task) => kernel.attempt("a task", () => task.isBlocked) === true,
  );
  return [
    ...hangs.flatMap((hang) => {
      const task = taskOf(hang, tasks, running);
      return [`virtio-pstore: ${hangText(hang, task)}`, ...stackOf(task)];
    }),
    ...tasks.queues.list.flatMap(({ cpu }) => {
      const task = running(cpu);
      return [`virtio-pstore: CPU ${cpu} runs ${who(task)}`, ...stackOf(task)];
    }),
    ...blocked.flatMap((task) => {
      const lines = stackOf(task);
      return lines.length === 0 ? [] : [`virtio-pstore: ${who(task)} is blocked`, ...lines];
    }),
    ...kernel.notes.take().map((note) => `virtio-pstore: ${note}`),
  ];
}

const NO_TASKS: Tasks = { tasks: [], idle: [], queues: new RunQueues([]) };

const who = (task: Task | undefined): string =>
  task === undefined ? "a task that isn't listed" : `${guestText(task.comm)}:${task.pid}`;

function taskOf(
  hang: Hang,
  { tasks }: Tasks,
  running: (cpu: number) => Task | undefined,
): Task | undefined {
  if (hang.kind === "blocked") return hang.task;
  if (hang.kind === "workqueue") return hang.worker?.task;
  if (hang.kind !== "deadlock") return running(hang.cpu);
  const [first] = hang.circle;
  return tasks.find(({ struct }) => struct.address === first?.task.address);
}

/** What hangs, in a line; the rules of titles know it (analysis/title/rules/hangs.ts). */
function hangText(hang: Hang, task: Task | undefined): string {
  switch (hang.kind) {
    case "deadlock":
      return `hung: deadlock: ${circleText(hang.circle)}: ${deadlockText(hang.circle)}`;
    case "interrupts-off":
      return `hung: CPU ${hang.cpu} with interrupts off: ${who(task)}`;
    case "stuck":
      return `hung: CPU ${hang.cpu} stuck: ${who(task)}`;
    case "workqueue": {
      const { pool, worker } = hang;
      const where = pool.cpu === undefined ? `pool ${pool.id}` : `CPU ${pool.cpu}`;
      const what = worker === undefined ? `before ${pool.next}` : `in ${worker.work}`;
      return `hung: workqueue ${what}: ${where}, ${pool.waiting} wait, the first for ${pool.next}`;
    }
    case "blocked":
      return `hung: task ${who(task)} blocked`;
  }
}

/** Without what differs from boot to boot: `A waits for X held by B, B for Y held by A`. */
function circleText(circle: readonly Wait[]): string {
  return circle
    .map(({ task, lock, holder }, i) => {
      const held = typeof holder === "object" ? holder.name : "";
      return `${task.name} ${i === 0 ? "waits " : ""}for ${lock.symbol ?? lock.type} held by ${held}`;
    })
    .join(", ");
}

/** Of a task that runs the whole stack is a guess, and each line would be marked as one. */
function linesOf(task: Task, stacks: Stacks): string[] {
  const stack = stacks.of(task);
  const isChain = stack.from === "longest chain";
  const frames = isChain
    ? stack.frames.map((frame) => ({ ...frame, isGuess: false }))
    : stack.frames;
  return ["Call Trace:", ...[...stackLines({ ...stack, frames })].map((line) => ` ${line}`)];
}
