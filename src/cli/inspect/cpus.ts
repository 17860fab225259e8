import type { Kernel } from "../../memory/kernel/index.js";
import { areInterruptsOn, isUserMode } from "../../memory/registers.js";
import { Stacks, symbolText } from "../../memory/stacks/index.js";
import { latestClock, type RunQueue, readRunQueues, Task } from "../../memory/tasks/index.js";
import { type KnownCpu, qmpOption, readRegisters } from "./registers.js";
import { columns, guestLine, seconds } from "./text.js";
import type { View } from "./view.js";

export const cpus: View = {
  name: "cpus",
  summary:
    "what each CPU runs, and how long its clock has stood; with --qmp, whether it takes interrupts",
  options: [qmpOption],

  async show(looked) {
    const { kernel } = looked;
    const known = await readRegisters(looked);
    const queues = readRunQueues(kernel);
    const stacks = new Stacks(kernel);
    const rows = queues.flatMap((queue) => {
      const read = () => rowOf(kernel, stacks, queues, queue, known.get(queue.cpu));
      return kernel.attempt(`CPU ${queue.cpu}`, read) ?? [];
    });
    return { lines: columns([HEAD, ...rows.map(cells)]), json: () => ({ cpus: rows }) };
  },
};

const HEAD = ["CPU", "PID", "NAME ", "STATE ", "QUEUED", "CLOCK STOOD", "INTERRUPTS ", "AT"];

interface Row {
  readonly cpu: number;
  readonly pid: number;
  readonly name: string;
  readonly idle: boolean;
  /** Tasks that run or want to. */
  readonly queued: number;
  /** In ns: since the scheduler looked at the clock here, until the last time that it did on any CPU. */
  readonly clockStood: string;
  /** In ns since boot: when the CPU had its last tick. */
  readonly lastTick: string | null;
  /** Null where no registers are known. */
  readonly interrupts: boolean | null;
  readonly halted: boolean | null;
  readonly at: string | null;
}

function rowOf(
  kernel: Kernel,
  stacks: Stacks,
  queues: readonly RunQueue[],
  queue: RunQueue,
  known: KnownCpu | undefined,
): Row {
  const { cpu, current, idle, clock, running } = queue;
  const task = new Task(kernel, kernel.struct("task_struct", current), queues);
  return {
    ...{ cpu, pid: task.pid, name: guestLine(task.name), idle: current === idle },
    queued: running,
    clockStood: String(latestClock(queues) - clock),
    lastTick: lastTick(kernel, cpu),
    interrupts: known === undefined ? null : areInterruptsOn(known.registers),
    halted: known?.isHalted ?? null,
    at: known === undefined ? null : placeOf(stacks, known),
  };
}

function placeOf(stacks: Stacks, { registers }: KnownCpu): string {
  if (isUserMode(registers)) return "user mode";
  return guestLine(symbolText(registers.ip, stacks.symbol(registers.ip, false)));
}

function lastTick(kernel: Kernel, cpu: number): string | null {
  const symbol = kernel.symbols?.address("tick_cpu_sched");
  if (symbol === undefined || kernel.types?.struct("tick_sched")?.has("last_tick") !== true) {
    return null;
  }
  return String(kernel.struct("tick_sched", kernel.perCpu(symbol, cpu)).u64("last_tick"));
}

function cells(row: Row): string[] {
  const { cpu, pid, name, idle, queued, clockStood, interrupts, halted, at } = row;
  const switched = interrupts === null ? "" : interrupts ? "on" : "off";
  return [
    ...[`${cpu}`, `${pid}`, name, `${idle ? "idle" : "runs"}${halted === true ? ", halted" : ""}`],
    ...[`${queued}`, seconds(BigInt(clockStood)), switched, at ?? ""],
  ];
}
