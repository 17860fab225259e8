import type { Kernel } from "../../memory/kernel/index.js";
import { areInterruptsOn, isUserMode } from "../../memory/registers.js";
import { Stacks } from "../../memory/stacks/index.js";
import { codeText } from "../../memory/symbol-text.js";
import { type RunQueue, type RunQueues, readRunQueues, Task } from "../../memory/tasks/index.js";
import { type KnownCpu, qmpOption, readRegisters } from "./registers.js";
import { guestLine, tableLines } from "./text.js";
import type { View } from "./view.js";

export const cpus: View = {
  name: "cpus",
  summary: "what each CPU runs; with its registers also where, and whether it takes interrupts",
  options: [qmpOption],

  async show(looked) {
    const { kernel } = looked;
    const known = await readRegisters(looked);
    const queues = readRunQueues(kernel);
    const stacks = new Stacks(kernel);
    const rows = queues.list.flatMap((queue) => {
      const read = () => rowOf(kernel, stacks, queues, queue, known.get(queue.cpu));
      return kernel.attempt(`CPU ${queue.cpu}`, read) ?? [];
    });
    return { lines: tableLines([HEAD, ...rows.map(cells)]), json: () => ({ cpus: rows }) };
  },
};

const HEAD = ["CPU", "PID", "NAME", "STATE", "QUEUED", "INTERRUPTS", "AT"];

interface Row {
  readonly cpu: number;
  readonly pid: number;
  readonly name: string;
  readonly idle: boolean;
  /** Tasks that run or want to. */
  readonly queued: number;
  /** Null where no registers are known. */
  readonly interrupts: boolean | null;
  readonly halted: boolean | null;
  readonly at: string | null;
}

function rowOf(
  kernel: Kernel,
  stacks: Stacks,
  queues: RunQueues,
  queue: RunQueue,
  known: KnownCpu | undefined,
): Row {
  const { cpu, current, idle, running } = queue;
  const task = new Task(kernel, kernel.struct("task_struct", current), queues);
  return {
    ...{ cpu, pid: task.pid, name: guestLine(task.name), idle: current === idle },
    queued: running,
    interrupts: known === undefined ? null : areInterruptsOn(known.registers),
    halted: known?.isHalted ?? null,
    at: known === undefined ? null : placeOf(stacks, known),
  };
}

function placeOf(stacks: Stacks, { registers }: KnownCpu): string {
  if (isUserMode(registers)) return "user mode";
  return guestLine(codeText(registers.ip, stacks.symbol(registers.ip, false)));
}

function cells(row: Row): string[] {
  const { cpu, pid, name, idle, queued, interrupts, halted, at } = row;
  const switched = interrupts === null ? "" : interrupts ? "on" : "off";
  return [
    ...[`${cpu}`, `${pid}`, name, `${idle ? "idle" : "runs"}${halted === true ? ", halted" : ""}`],
    ...[`${queued}`, switched, at ?? ""],
  ];
}
