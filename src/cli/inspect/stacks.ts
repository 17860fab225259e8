import { InvalidArgumentError, Option } from "commander";
import { hex } from "../../memory/guest-text.js";
import {
  type Frame,
  type StackFrom,
  Stacks,
  stackLines,
  type TaskStack,
} from "../../memory/stacks/index.js";
import { readTasks, type Task } from "../../memory/tasks/index.js";
import { UserError } from "../../service/errors.js";
import { qmpOption, readRegisters } from "./registers.js";
import { guestLine, seconds } from "./text.js";
import type { View } from "./view.js";

function parseTask(text: string): number {
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a task's number in the guest.");
}

export const stacks: View = {
  name: "stacks",
  summary: "each task's stack, as the kernel would print it: guesses have a ?",
  options: [
    new Option(
      "--task <pid>",
      "stacks: only this task of the guest, or all threads of this process",
    ).argParser(parseTask),
    qmpOption,
  ],

  async show(looked) {
    const { kernel, options } = looked;
    const wanted = options.task;
    const { tasks, idle } = readTasks(kernel);
    const chosen = [...idle, ...tasks].filter(
      (task) => wanted === undefined || task.pid === wanted || task.tgid === wanted,
    );
    if (chosen.length === 0) throw new UserError(`the guest has no task ${String(wanted)}`);
    const cpus = await readRegisters(looked);
    const all = new Stacks(
      kernel,
      new Map([...cpus].map(([cpu, { registers }]) => [cpu, registers])),
    );
    // Those that run go on meanwhile: they come first.
    const inOrder = [...chosen].sort((a, b) => Number(b.isRunning) - Number(a.isRunning));
    const read = new Map<Task, TaskStack>();
    for (const task of inOrder) {
      const stack = kernel.attempt(`task ${task.pid}'s stack`, () => all.of(task));
      if (stack !== undefined) read.set(task, stack);
    }
    const shown = chosen.flatMap((task) => {
      const stack = read.get(task);
      return stack === undefined ? [] : [{ task, stack }];
    });
    return {
      lines: shown.flatMap(({ task, stack }, i) => [
        ...(i === 0 ? [] : [""]),
        ...linesOf(task, stack),
      ]),
      json: () => ({ stacks: shown.map(({ task, stack }) => stackJson(task, stack)) }),
    };
  },
};

function linesOf(task: Task, stack: TaskStack): string[] {
  const { notRunFor } = task;
  const time = notRunFor === undefined ? "" : ` for ${seconds(notRunFor)}`;
  const doing = task.isRunning ? "runs" : `${task.state}${time}`;
  const said = saidOf(stack);
  return [
    `${task.pid} ${guestLine(task.name)}: ${doing}, CPU ${task.cpu}${said === "" ? "" : ` (${said})`}`,
    ...[...stackLines(stack)].map((line) => `  ${line}`),
  ];
}

const SAID: Readonly<Record<StackFrom, string>> = {
  switch: "",
  registers: "by the CPU's registers",
  "longest chain": "a guess: the longest chain on its stack; --qmp gives the CPU's registers",
  words: "guesses: the kernel has no unwind tables (CONFIG_UNWINDER_ORC)",
  "user mode": "it runs its own code",
};

function saidOf({ from, end, frames }: TaskStack): string {
  if (from === "longest chain" && frames.length === 0) {
    return "it runs, and no chain on its stack reaches an end; --qmp gives the CPU's registers";
  }
  const lost =
    end === "lost" && from !== "words" ? "the unwind tables lead no further than here" : "";
  return [SAID[from], lost].filter((text) => text !== "").join("; ");
}

function stackJson(task: Task, { from, end, frames }: TaskStack): unknown {
  return {
    ...{ pid: task.pid, tgid: task.tgid, name: guestLine(task.name), state: task.state },
    ...{ running: task.isRunning, cpu: task.cpu, from, end },
    frames: frames.map(frameJson),
  };
}

function frameJson({ address, symbol, isGuess, saved, stack }: Frame): unknown {
  return {
    address: hex(address),
    symbol: symbol === undefined ? null : guestLine(symbol.name),
    ...(symbol === undefined ? {} : { offset: symbol.offset, size: symbol.size }),
    module: symbol?.module === undefined ? null : guestLine(symbol.module),
    guess: isGuess,
    ...(stack === undefined ? {} : { stack }),
    ...(saved === undefined
      ? {}
      : {
          registers: {
            ...{ ip: hex(saved.ip), cs: hex(saved.cs) },
            ...{ sp: hex(saved.sp), flags: hex(saved.flags) },
          },
        }),
  };
}
