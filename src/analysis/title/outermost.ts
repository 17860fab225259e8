import { functionName } from "./frames.js";
import { INNOCENT_OF_STALLS } from "./innocent.js";
import { ENTRY, FAULT, LAYER, WATCH } from "./kernel-layers.js";
import type { Report, Stack } from "./report.js";
import { certain, registers, traces } from "./traces.js";

const isInnocent = (name: string): boolean =>
  ENTRY.has(name) || WATCH.has(name) || INNOCENT_OF_STALLS.some((names) => names.has(name));

const hasSubject = (name: string): boolean => !isInnocent(name) && !LAYER.has(name);

/** Among so many of the innermost, a call to another CPU means that it is waited for. */
const WAITS_WITHIN = 8;

/**
 * A CPU that doesn't get on is interrupted anywhere in what it does over and over, so where it was
 * says little. What it was asked to do says more: the outermost function with a subject of its own.
 */
export function outermost(report: Report): string | undefined {
  const { site } = report.match.groups ?? {};
  const ip = [...registers(report), ...(site === undefined ? [] : [functionName(site)])];
  const all = traces(report);
  if (all.every(({ frames }) => frames.length === 0)) return ip.find((name) => !isInnocent(name));
  const ways = all
    .filter((stack) => !gaveWay(stack))
    .flatMap((stack, index) => parts(stack, index === 0 ? ip : []));
  for (const tried of [ways.map(behindFault), ways]) {
    for (const test of [hasSubject, (name: string) => !isInnocent(name)]) {
      for (const names of tried) {
        const busy = names.filter((name) => !isInnocent(name)).slice(0, WAITS_WITHIN);
        if (busy.some((name) => name.startsWith("smp_call_function"))) return "smp_call_function";
        const found = names.findLast(test);
        if (found !== undefined) return found.replace(/_compat_ioctl$/, "_ioctl");
      }
    }
  }
  return undefined;
}

/** A task that is shown because it was preempted where it could be: others have the CPU. */
const gaveWay = (stack: Stack): boolean =>
  stack.task === undefined && certain(stack)[1] === "preempt_schedule_common";

/** What interrupted before what was interrupted: that may be where the CPU doesn't get on. */
function parts({ frames, boundaries }: Stack, ip: readonly string[]): string[][] {
  if (!frames.some((frame) => frame.certain)) return [];
  return [...boundaries, frames.length].map((end) => [
    ...ip,
    ...certain({ frames: frames.slice(0, end) }),
  ]);
}

/** Without the handling of a page fault in the midst of it: the task will fault there again. */
const behindFault = (names: readonly string[]): readonly string[] =>
  names.slice(names.findLastIndex((name) => FAULT.has(name)) + 1);
