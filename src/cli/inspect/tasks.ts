import { Option } from "commander";
import { readTasks, type Task, workOf } from "../../memory/tasks/index.js";
import { guestLine, seconds, tableLines } from "./text.js";
import type { View } from "./view.js";

export const tasks: View = {
  name: "tasks",
  summary: "every task: its state, for how long it hasn't run, and what it was started with",
  options: [
    new Option("--blocked", "tasks: only those that wait uninterruptibly (D)").default(false),
  ],

  show({ kernel, options }) {
    const { tasks } = readTasks(kernel);
    const wanted = options.blocked === true ? tasks.filter((task) => task.isBlocked) : tasks;
    const rows = wanted.flatMap((task) => kernel.attempt("a task", () => rowOf(task)) ?? []);
    return { lines: tableLines([HEAD, ...rows.map(cells)]), json: () => ({ tasks: rows }) };
  },
};

const HEAD = ["PID", "TGID", "STATE", "CPU", "NOT RUN FOR", "NAME", "COMMAND"];

interface Row {
  readonly pid: number;
  readonly tgid: number;
  readonly state: string;
  readonly blocked: boolean;
  readonly running: boolean;
  readonly cpu: number;
  /** In ns. */
  readonly notRunFor: string | null;
  readonly comm: string;
  readonly name: string;
  readonly commandLine: string | null;
  /** The function that a workqueue's worker runs. */
  readonly work: string | null;
}

function rowOf(task: Task): Row {
  const { notRunFor, commandLine } = task;
  return {
    ...{ pid: task.pid, tgid: task.tgid, state: task.state },
    ...{ blocked: task.isBlocked, running: task.isRunning, cpu: task.cpu },
    notRunFor: notRunFor === undefined ? null : String(notRunFor),
    ...{ comm: guestLine(task.comm), name: guestLine(task.name) },
    commandLine: commandLine === undefined ? null : guestLine(commandLine),
    work: workOf(task) ?? null,
  };
}

function cells(row: Row): string[] {
  const { pid, tgid, state, running, cpu, notRunFor, name, commandLine, work } = row;
  const time = notRunFor === null ? (running ? "runs" : "") : seconds(BigInt(notRunFor));
  return [
    `${pid}`,
    `${tgid}`,
    state,
    `${cpu}`,
    time,
    name,
    commandLine ?? (work === null ? "" : `in ${work}`),
  ];
}
