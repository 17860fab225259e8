import { guestText, hex } from "../guest-text.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { nameAt } from "../symbol-text.js";
import type { Task } from "../tasks/index.js";
import { circles } from "./circles.js";
import type { Holder } from "./kinds.js";
import { lockWaitOf, WaitingFrames } from "./waiting.js";

/** A task, as it is told of. */
export interface TaskName {
  readonly address: bigint;
  readonly pid: number;
  readonly name: string;
}

/** A task that waits for a lock. */
export interface Wait {
  readonly task: TaskName;
  readonly lock: {
    readonly address: bigint;
    readonly type: string;
    /** Of a lock that isn't allocated: its symbol. */
    readonly symbol: string | undefined;
  };
  readonly how: Holder["how"];
  readonly readers: number | undefined;
  /** Undefined where the lock names no task. */
  readonly holder: TaskName | "a task that has ended" | undefined;
}

/** Who waits for which lock. */
export interface Locks {
  readonly waits: readonly Wait[];
  /** Those that wait for each other in a circle: each for the one that follows, the last for the first. */
  readonly deadlocks: readonly (readonly Wait[])[];
}

/** `all` are the guest's tasks: those that hold locks are sought among them, too. */
export function readLocks(kernel: Kernel, all: readonly Task[]): Locks {
  const tasks = new Map<bigint, TaskName>();
  for (const { pid, comm, struct } of all) {
    tasks.set(struct.address, { address: struct.address, pid, name: guestText(comm) });
  }
  const waits: Wait[] = [];
  const frames = new WaitingFrames(kernel);
  for (const { state, isRunning, struct } of all) {
    const name = tasks.get(struct.address);
    if (name === undefined || state === "R" || isRunning) continue;
    const wait = kernel.attempt(`what ${name.name} (${name.pid}) waits for`, () =>
      readWait(kernel, struct, name, tasks, frames),
    );
    if (wait !== undefined) waits.push(wait);
  }
  const byTask = new Map(waits.map((wait) => [wait.task.address, wait]));
  const next = new Map<Wait, Wait>();
  for (const wait of waits) {
    const { holder } = wait;
    const holds = typeof holder === "object" ? byTask.get(holder.address) : undefined;
    if (holds !== undefined) next.set(wait, holds);
  }
  return { waits, deadlocks: circles(next) };
}

function readWait(
  kernel: Kernel,
  struct: Struct,
  task: TaskName,
  tasks: ReadonlyMap<bigint, TaskName>,
  frames: WaitingFrames,
): Wait | undefined {
  const found = lockWaitOf(kernel, struct, tasks, frames);
  if (found === undefined) return undefined;
  const { kind, lock } = found;
  const { address } = lock;
  const held = kind.holder(kernel, lock);
  return {
    task,
    lock: { address, type: kind.type, symbol: nameAt(kernel, address) },
    how: held.how,
    readers: held.readers,
    holder: held.task === undefined ? undefined : (tasks.get(held.task) ?? "a task that has ended"),
  };
}

const who = ({ name, pid }: TaskName): string => `${name} (${pid})`;

function what({ lock: { type, symbol, address } }: Wait): string {
  return `${type === "rt_mutex_base" ? "rt_mutex" : type} ${symbol ?? hex(address)}`;
}

function held({ holder, how, readers }: Wait): string {
  const name = typeof holder === "object" ? who(holder) : holder;
  if (how === "readers") {
    const count = readers === 1 ? "a reader" : `${readers} readers`;
    return `held by ${count}${name === undefined ? "" : `, the last to take it was ${name}`}`;
  }
  if (how === "not told") {
    return name === undefined ? "which doesn't say who holds it" : `last taken by ${name}`;
  }
  return name === undefined ? "which nobody holds now" : `held by ${name}`;
}

/** `A (1) waits for mutex a, held by B (2)` */
export const waitText = (wait: Wait): string =>
  `${who(wait.task)} waits for ${what(wait)}, ${held(wait)}`;

/** `A (1) waits for mutex b, held by B (2), which waits for mutex a, held by A (1)` */
export function deadlockText(circle: readonly Wait[]): string {
  const [first, ...rest] = circle;
  if (first === undefined) return "";
  return [
    waitText(first),
    ...rest.map((wait) => `which waits for ${what(wait)}, ${held(wait)}`),
  ].join(", ");
}
