import { REPORTING } from "./innocent.js";
import type { Report, Stack } from "./report.js";

/** A report's own traces: one without a heading is another's, unless this kind has none. */
export function traces(report: Report): Stack[] {
  const own = report.stacks.filter((stack) => !stack.aside && isOwn(report, stack.task));
  const headed = own.filter(({ heading, frames }) => heading !== "" && frames.length > 0);
  return report.rule.bare === true || headed.length === 0 ? own : headed;
}

/** The function that the CPU was in, before it those inlined there. */
export const registers = (report: Report): string[] =>
  report.ip.filter(({ task }) => isOwn(report, task)).map(({ name }) => name);

/** Whether what stands behind this task's `CPU: … PID: …` belongs to the report. */
function isOwn({ rule, task, shown }: Report, whose: number | undefined): boolean {
  if (rule.headless === true) return whose === undefined;
  // It shows several CPUs or tasks, tells whose they are behind the trace, or what is left tells nothing.
  if (rule.blame === "outer" || rule.bare === true || rule.before === true) return true;
  if (task === undefined) return whose === shown[0];
  return whose === (shown.includes(task) ? task : undefined);
}

/** The names of a trace's functions, without those that the unwinder isn't sure of. */
export const certain = ({ frames }: Pick<Stack, "frames">): string[] =>
  frames.filter((frame) => frame.certain).map(({ name }) => name);

/** At most so many of a trace's functions are told. */
const MAX_FRAMES = 64;

/** The functions of a report's own trace, from where it was found on. */
export function framesOf(report: Report): string[] {
  const ip = registers(report);
  const own = traces(report).find(({ frames }) => frames.length > 0);
  const names = own === undefined ? [] : certain(own);
  const start = names.findIndex((name) => !REPORTING.has(name));
  const trace = start < 0 ? [] : names.slice(start);
  return [...ip.filter((name) => !trace.includes(name)), ...trace].slice(0, MAX_FRAMES);
}
