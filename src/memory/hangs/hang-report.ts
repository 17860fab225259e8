import { printableLine } from "../../records/printable.js";
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
 * them. Other lines begin with `virtio-pstore: `. Throws MemoryError where it would take too much work.
 */
export function* hangReport(kernel: Kernel, hangs: readonly Hang[]): Generator<string, void, void> {
  const tasks = kernel.attempt("tasks", () => readTasks(kernel)) ?? NO_TASKS;
  const byAddress = new Map(
    [...tasks.tasks, ...tasks.idle].map((task) => [task.struct.address, task]),
  );
  const running = (cpu: number) => byAddress.get(tasks.queues.of(cpu)?.current ?? 0n);
  const stacks = new StackLines(kernel);
  for (const hang of hangs) {
    const task = taskOf(hang, byAddress, running);
    yield `virtio-pstore: ${hangText(hang, task)}`;
    yield* stacks.of(task);
  }
  for (const { cpu } of tasks.queues.list) {
    const task = running(cpu);
    yield `virtio-pstore: CPU ${cpu} runs ${who(task)}`;
    yield* stacks.of(task);
  }
  for (const task of tasks.tasks) {
    if (kernel.attempt("a task", () => task.isBlocked) !== true) continue;
    const lines = stacks.of(task);
    if (lines.length > 0) yield `virtio-pstore: ${who(task)} is blocked`;
    yield* lines;
  }
  for (const note of kernel.notes.take()) yield `virtio-pstore: ${note}`;
}

const NO_TASKS: Tasks = { tasks: [], idle: [], queues: new RunQueues([]) };

/** Each task's stack, once. */
class StackLines {
  readonly #kernel: Kernel;
  readonly #stacks: Stacks;
  readonly #shown = new Set<bigint>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#stacks = new Stacks(kernel);
  }

  /** Empty where it can't be read, which is noted. */
  of(task: Task | undefined): string[] {
    if (task === undefined || this.#shown.has(task.struct.address)) return [];
    if (this.#shown.size === MAX_STACKS) return [];
    this.#shown.add(task.struct.address);
    return this.#kernel.attempt("a task's stack", () => linesOf(task, this.#stacks)) ?? [];
  }
}

/** A program chooses its name: it must not end the line, nor look like what the rules of titles look for. */
const nameOf = (name: string): string => printableLine(name).replaceAll(": ", ":_");

function who(task: Task | undefined): string {
  if (task === undefined) return "a task that isn't listed";
  return `${nameOf(guestText(task.comm))}:${task.pid}`;
}

function taskOf(
  hang: Hang,
  tasks: ReadonlyMap<bigint, Task>,
  running: (cpu: number) => Task | undefined,
): Task | undefined {
  if (hang.kind === "blocked") return hang.task;
  if (hang.kind === "workqueue") return hang.worker?.task;
  if (hang.kind !== "deadlock") return running(hang.cpu);
  const [first] = hang.circle;
  return tasks.get(first?.task.address ?? 0n);
}

/** What hangs, in a line; the rules of titles know it (analysis/title/rules/hangs.ts). */
function hangText(hang: Hang, task: Task | undefined): string {
  switch (hang.kind) {
    case "deadlock":
      return `hung: deadlock: ${circleText(hang.circle)}: ${printableLine(deadlockText(hang.circle))}`;
    case "interrupts-off":
      return `hung: CPU ${hang.cpu} with interrupts off: ${who(task)}`;
    case "stuck":
      return `hung: CPU ${hang.cpu} stuck: ${who(task)}`;
    case "workqueue": {
      const { pool, worker } = hang;
      const where = pool.cpu === undefined ? `pool ${pool.id}` : `CPU ${pool.cpu}`;
      const next = nameOf(pool.next);
      const what = worker === undefined ? `before ${next}` : `in ${nameOf(worker.work)}`;
      return `hung: workqueue ${what}: ${where}, ${pool.waiting} wait, the first for ${next}`;
    }
    case "blocked":
      return `hung: task ${who(task)} blocked`;
  }
}

/** Kernel threads of the same kind differ by numbers. */
const kindOf = (name: string): string => nameOf(name).replace(/^kworker\/.*/, "kworker");

/** Without what differs from boot to boot, from the same one on: `A waits for X held by B, B for Y held by A`. */
function circleText(circle: readonly Wait[]): string {
  const parts = circle.map(({ task, lock }) => ({
    name: kindOf(task.name),
    lock: nameOf(lock.symbol ?? lock.type),
  }));
  const keys = parts.map(({ name, lock }) => `${name} ${lock}`);
  const first = keys.reduce((least, key, i) => (key < (keys[least] ?? "") ? i : least), 0);
  const turned = [...parts.slice(first), ...parts.slice(0, first)];
  return turned
    .map(({ name, lock }, i) => {
      const holder = turned[(i + 1) % turned.length]?.name ?? "";
      return `${name} ${i === 0 ? "waits " : ""}for ${lock} held by ${holder}`;
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
