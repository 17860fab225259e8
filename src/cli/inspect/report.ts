import { readFacts } from "../../analysis/title/index.js";
import { guestText } from "../../memory/guest-text.js";
import type { Kernel, Notes } from "../../memory/kernel/index.js";
import { deadlockText, readLocks } from "../../memory/locks/locks.js";
import { KernelLog, type LogEntry } from "../../memory/log.js";
import { Newest } from "../../memory/newest.js";
import { type Clock, readClock } from "../../memory/system/clock.js";
import { commandLine } from "../../memory/system/command-line.js";
import { panickedCpu, readIdentity } from "../../memory/system/identity.js";
import { lateCpus } from "../../memory/system/late-timers.js";
import { readUsage, residents, type Usage } from "../../memory/system/usage.js";
import {
  type BusyWorker,
  readTasks,
  readWorkqueues,
  type StalledPool,
  type Task,
  type Tasks,
} from "../../memory/tasks/index.js";
import { formatSize } from "../../service/size.js";
import { kernelOrLog, linesOf, newestLines, noting, readable } from "./log.js";
import { tableLines } from "./text.js";
import { bootText, spanText } from "./uptime.js";
import type { View } from "./view.js";

/** The page stays one: so many are shown of each. */
const MOST_CPUS = 16;
const MOST_DEADLOCKS = 3;
const MOST_BLOCKED = 5;
const MOST_WORKS = 5;
const MOST_ERRORS = 5;

/** A task that waits for a disk isn't blocked for so long, nor is most work under way, in nanoseconds. */
const BLOCKED = 10_000_000_000n;

/** Of the memory: less that is available looks wrong. */
const LITTLE = 0.05;

const MOST_USERS = 3;

/** What no process is shown to have, or not alone, and can't be freed. */
const KERNELS_OWN: readonly (readonly [what: string, key: keyof Usage])[] = [
  ["tmpfs and shared memory", "shared"],
  ["slab", "slab"],
  ["page tables", "pageTables"],
  ["kernel stacks", "stacks"],
];

/** Levels of messages up to LOGLEVEL_ERR. */
const ERROR = 3;

/** What is read, as far as it can be. */
interface Report {
  readonly system: readonly (readonly [what: string, text: string])[];
  readonly cpus: readonly { readonly cpu: number; readonly runs: string }[];
  readonly wrong: readonly string[];
  readonly errors: readonly string[];
}

export const report: View = {
  name: "report",
  summary: "one page: what it is, what it does now, and what looks wrong",

  show(looked) {
    const kernel = kernelOrLog(looked);
    const found =
      kernel instanceof KernelLog ? logReport(kernel, looked.notes) : readReport(kernel);
    return {
      lines: pageOf(found),
      json: () => ({ ...found, system: Object.fromEntries(found.system) }),
    };
  },
};

function readReport(kernel: Kernel): Report {
  const log = kernel.attempt("log", () => new KernelLog(kernel));
  const { title, errors } = readLog(log, kernel.notes);
  const identity = kernel.attempt("its name", () => readIdentity(kernel));
  const clock = kernel.attempt("clock", () => readClock(kernel));
  const usage = kernel.attempt("memory", () => readUsage(kernel));
  const tasks = kernel.attempt("tasks", () => readTasks(kernel));
  const line = kernel.attempt("command line", () => commandLine(kernel));
  return {
    system: [
      ["Linux", identity === undefined ? kernel.info.release : identity.release],
      ...(identity === undefined
        ? []
        : ([
            ["version", identity.version],
            ["machine", identity.machine],
            ["name", identity.node],
          ] as const)),
      ...(clock === undefined
        ? []
        : ([
            ["booted", bootText(clock)],
            ["up", spanText(clock.sinceBoot)],
          ] as const)),
      ...(usage === undefined ? [] : ([["memory", memoryText(usage)]] as const)),
      ...(line === undefined ? [] : ([["cmdline", line]] as const)),
    ],
    cpus: tasks === undefined ? [] : whatRuns(tasks),
    wrong: [
      ...panics(kernel, title),
      ...(clock === undefined ? [] : stuck(kernel, clock)),
      ...(tasks === undefined ? [] : waiting(kernel, tasks.tasks)),
      ...(tasks === undefined ? [] : stuckWork(kernel, tasks.tasks)),
      ...(usage === undefined ? [] : shortage(kernel, usage, tasks?.tasks ?? [])),
      ...Object.entries({ clock, tasks, memory: usage })
        .filter(([, found]) => found === undefined)
        .map(([what]) => `its ${what} can't be read, so what is wrong with that isn't known`),
    ],
    errors,
  };
}

/** Of a kernel that doesn't describe itself: all that is known of it is what it says. */
function logReport(log: KernelLog, notes: Notes): Report {
  const { first = "", title, errors } = readLog(log, notes);
  const release = /Linux version (.+)$/.exec(first)?.[1];
  return {
    system: release === undefined ? [] : [["Linux", release]],
    cpus: [],
    wrong: [...crashIn(title), "it doesn't describe itself, or not yet: only its log is known"],
    errors,
  };
}

const memoryText = ({ total, free, available }: Usage): string =>
  `${formatSize(total)}, ${formatSize(free)} free, ${formatSize(available)} available`;

function whatRuns({ tasks, queues }: Tasks): Report["cpus"] {
  const byAddress = new Map(tasks.map((task) => [task.struct.address, task]));
  return queues.list.map(({ cpu, current, idle }) => {
    if (current === idle) return { cpu, runs: "idle" };
    const task = byAddress.get(current);
    return { cpu, runs: task === undefined ? "a task that isn't listed" : who(task) };
  });
}

const who = ({ name, pid }: Task): string => `${guestText(name)} (${pid})`;

function panics(kernel: Kernel, title: string): string[] {
  const cpu = kernel.attempt("panic", () => panickedCpu(kernel));
  return [...(cpu === undefined ? [] : [`it panicked, on CPU ${cpu}`]), ...crashIn(title)];
}

function crashIn(title: string): string[] {
  return title === "" ? [] : [`its log ends in a crash: ${title}`];
}

function stuck(kernel: Kernel, { monotonic }: Clock): string[] {
  // A panic stops the others.
  if (kernel.attempt("panic", () => panickedCpu(kernel)) !== undefined) return [];
  const late = kernel.attempt("timers", () => lateCpus(kernel, monotonic)) ?? [];
  return late.map(
    (one) =>
      `CPU ${one.cpu} has seen to no timer for ${secondsText(one.late)}: its interrupts are off, or the host doesn't run it`,
  );
}

function waiting(kernel: Kernel, tasks: readonly Task[]): string[] {
  const blocked = tasks
    .flatMap((task) => {
      const time = kernel.attempt("a task", () => (task.isBlocked ? task.notRunFor : undefined));
      return time === undefined || time < BLOCKED ? [] : [{ task, time }];
    })
    .sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
  const shown = blocked
    .slice(0, MOST_BLOCKED)
    .map(({ task, time }) => `${who(task)} for ${secondsText(time)}`);
  const more = blocked.length - shown.length;
  const deadlocks = kernel.attempt("locks", () => readLocks(kernel, tasks).deadlocks) ?? [];
  return [
    ...deadlocks.slice(0, MOST_DEADLOCKS).map((circle) => `deadlock: ${deadlockText(circle)}`),
    ...(deadlocks.length > MOST_DEADLOCKS
      ? [`${deadlocks.length - MOST_DEADLOCKS} more deadlocks: view locks`]
      : []),
    ...(blocked.length === 0
      ? []
      : [`blocked: ${shown.join(", ")}${more > 0 ? `, and ${more} more: view tasks` : ""}`]),
  ];
}

function stuckWork(kernel: Kernel, tasks: readonly Task[]): string[] {
  const found = kernel.attempt("workqueues", () => readWorkqueues(kernel, tasks));
  if (found === undefined) return [];
  const busy = found.busy.filter(({ time = 0n }) => time >= BLOCKED);
  const stalled = found.stalled.filter(({ time }) => time >= BLOCKED);
  const all = [...stalled.map(poolText), ...busy.map(workText)];
  const more = all.length - MOST_WORKS;
  return [
    ...all.slice(0, MOST_WORKS).map((text) => `workqueue: ${text}`),
    ...(more > 0 ? [`${more} more workers are long at their work: view tasks`] : []),
  ];
}

const poolText = ({ cpu, id, time, waiting, next }: StalledPool): string =>
  `${cpu === undefined ? `pool ${id}` : `CPU ${cpu}`} has begun no work for ${secondsText(time)}, and ${waiting} wait, ` +
  `the first for ${next}`;

const workText = ({ task, work, queue, time = 0n, waiting }: BusyWorker): string =>
  `${who(task)} in ${work} for ${secondsText(time)}${waiting === 0 ? "" : `, and ${waiting} wait in ${queue}`}`;

const secondsText = (nanoseconds: bigint): string => `${nanoseconds / 1_000_000_000n} s`;

function shortage(kernel: Kernel, usage: Usage, tasks: readonly Task[]): string[] {
  const { total, available } = usage;
  if (available >= total * LITTLE) return [];
  const processes = kernel.attempt("processes' memory", () => residents(kernel, tasks)) ?? [];
  const users = [
    ...KERNELS_OWN.map(([what, key]) => ({ what, size: usage[key] })),
    ...processes.map(({ name, pid, resident }) => ({ what: `${name} (${pid})`, size: resident })),
  ].sort((a, b) => b.size - a.size);
  const most = users.slice(0, MOST_USERS).map(({ what, size }) => `${what} ${formatSize(size)}`);
  return [
    `hardly any memory is available: ${formatSize(available)} of ${formatSize(total)}; most have ${most.join(", ")}`,
  ];
}

/** What a report takes from a log, as far as that can be read. */
interface LogReading {
  readonly first: string | undefined;
  /** Of the crash that it ends in; empty where it ends in none. */
  readonly title: string;
  readonly errors: readonly string[];
}

function readLog(log: KernelLog | undefined, notes: Notes): LogReading {
  const newest = newestLines();
  const errors = new Newest<LogEntry>(MOST_ERRORS);
  let first: string | undefined;
  const see = (entry: LogEntry) => {
    if ("lost" in entry || (entry.priority & 7) > ERROR) return;
    // A copy: the text is a part of all that was read with it.
    errors.add({ ...entry, text: Buffer.from(entry.text) });
  };
  const entries = log === undefined ? [] : readable(log, notes);
  for (const line of linesOf(noting(entries, see))) {
    first ??= line;
    newest.add(line);
  }
  return {
    ...{ first, title: readFacts(newest.list).title },
    errors: [...linesOf(errors.list)].slice(-MOST_ERRORS),
  };
}

function pageOf({ system, cpus, wrong, errors }: Report): string[] {
  const more = cpus.length - MOST_CPUS;
  return [
    ...tableLines([
      ...system.map(([what, text]) => [what, text]),
      ...cpus.slice(0, MOST_CPUS).map(({ cpu, runs }) => [`CPU ${cpu}`, runs]),
      ...(more > 0 ? [["…", `${more} more CPUs`]] : []),
    ]),
    "",
    ...(wrong.length === 0
      ? ["Nothing looks wrong."]
      : ["What looks wrong:", ...wrong.map(indented)]),
    ...(errors.length === 0 ? [] : ["", "Last errors in its log:", ...errors.map(indented)]),
  ];
}

const indented = (line: string): string => `  ${line}`;
