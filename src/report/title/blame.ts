import { functionName } from "./frames.js";
import { INNOCENT, INNOCENT_OF_STALLS, REPORTING, WAITING } from "./innocent.js";
import type { Report, Stack } from "./report.js";
import { ENTRY, LAYER, WATCH } from "./ways.js";

type Test = (name: string) => boolean;

/** The function that a report blames; undefined where it shows nobody that could be. */
export function blamed(report: Report): string | undefined {
  const { rule, match, ip, stacks } = report;
  if (rule.blame === undefined) return undefined;
  if (rule.blame === "outer") return outermost(report);
  const ways = [
    ...stacks.filter(({ heading }) => rule.first?.test(heading)),
    ...traces(stacks, rule.bare === true),
  ].map(certain);
  const locks = rule.blame === "lock" ? lockSite(report) : [];
  if (rule.blame === "site") {
    const site = match.groups?.site ?? match.groups?.decoded;
    ways.unshift(site === undefined ? ip : [functionName(site), ...ip]);
  } else if (rule.first === undefined) {
    ways.unshift(locks.filter((name) => !ENTRY.has(name)));
  }
  for (const innocent of innocence(report)) {
    for (const names of ways) {
      const name = names.find((name) => !innocent(name));
      if (name !== undefined) return shared(name);
    }
  }
  const named = match.groups?.fallback;
  const last = locks[0] ?? (named && !isInnocent(named) ? functionName(named) : undefined);
  return last === undefined ? undefined : shared(last);
}

const isInnocent: Test = (name) => INNOCENT.some((names) => names.has(name));

/** At most so many of a trace's functions are told. */
const MAX_FRAMES = 64;

/** The functions of a report's own trace, from where it was found on. */
export function framesOf({ rule, ip, stacks }: Report): string[] {
  const own = traces(stacks, rule.bare === true).find(({ frames }) => frames.length > 0);
  const names = own === undefined ? [] : certain(own);
  const start = names.findIndex((name) => !REPORTING.has(name));
  const trace = start < 0 ? [] : names.slice(start);
  return [...ip.filter((name) => !trace.includes(name)), ...trace].slice(0, MAX_FRAMES);
}

/** Where every stack begins. */
const ROOT = /^(?:entry_|do_syscall_|el0_|el0t_|ret_from_fork)/;

/** Whom a report doesn't blame; if it shows no others, whom it doesn't even blame then. */
function innocence({ rule, astray }: Report): Test[] {
  const { skip, unless } = rule;
  // Whoever jumped to where no function is did it himself.
  if (astray) return [(name) => REPORTING.has(name)];
  return [
    (name) =>
      unless?.test(name) !== true &&
      (skip?.test(name) === true || ROOT.test(name) || isInnocent(name)),
    (name) => REPORTING.has(name) || WAITING.has(name),
  ];
}

/** A report's own traces: one without a heading is another's, unless this kind has none. */
function traces(stacks: readonly Stack[], bare: boolean): Stack[] {
  const own = stacks.filter(({ aside }) => !aside);
  const headed = own.filter(({ heading }) => heading !== "");
  return bare || headed.length === 0 ? own : headed;
}

const certain = ({ frames }: Pick<Stack, "frames">): string[] =>
  frames.filter((frame) => frame.certain).map(({ name }) => name);

/** `(&lock){+.+.}, at: [<address>] foo+0x1/0x2`: the first is the lock that was asked for. */
const LOCK_SITE = /, at: (?:\[<[0-9a-f]+>\] )?([\w.$]{1,200})(?:\+0x| )/;

function lockSite({ lines }: Report): string[] {
  for (const line of lines) {
    const name = LOCK_SITE.exec(line)?.[1];
    if (name !== undefined) return [functionName(name)];
  }
  return [];
}

/**
 * A CPU that doesn't get on is interrupted anywhere in what it does over and over, so where it was
 * says little. What it was asked to do says more: the outermost function with a subject of its own.
 */
function outermost({ ip, stacks }: Report): string | undefined {
  const innocent: Test = (name) =>
    ENTRY.has(name) || WATCH.has(name) || INNOCENT_OF_STALLS.some((names) => names.has(name));
  const ways = traces(stacks, false).flatMap(({ frames, boundaries }, index) =>
    [...boundaries, frames.length].map((end) => [
      ...(index === 0 ? ip : []),
      ...certain({ frames: frames.slice(0, end) }),
    ]),
  );
  const tests: readonly Test[] = [
    (name) => !innocent(name) && !LAYER.has(name),
    (name) => !innocent(name),
  ];
  for (const test of tests) {
    for (const names of ways) {
      const busy = names.filter((name) => !ENTRY.has(name) && !WATCH.has(name));
      if (busy.slice(0, 8).some((name) => name.startsWith("smp_call_function"))) {
        return "smp_call_function";
      }
      const found = names.findLast(test);
      if (found !== undefined) return shared(found).replace(/_compat_ioctl$/, "_ioctl");
    }
  }
  const found = ip.find((name) => !innocent(name));
  return found === undefined ? undefined : shared(found);
}

/** A function under the name that kernels of all versions and architectures share. */
function shared(name: string): string {
  return name
    .replace(/^__(?:x64|ia32|arm64)_(?:compat_)?sys_/, "sys_")
    .replace(/^(?:__do_(?:compat_)?sys_|__se_(?:compat_)?sys_|(?:C_|compat_)?(?:SYSC|SyS)_)/, "")
    .replace(
      /^(?:__)?synchronize_(?:rcu|sched|srcu)(?:_expedited|_bh|_normal)?$/,
      "synchronize_rcu",
    );
}
