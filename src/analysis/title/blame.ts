import { functionName } from "./frames.js";
import { INNOCENT, REPORTING } from "./innocent.js";
import { lockSites, lockWays } from "./locks.js";
import { outermost } from "./outermost.js";
import type { Report } from "./report.js";
import { certain, registers, traces } from "./traces.js";

/** The function that a report blames; undefined where it shows nobody that could be. */
export function blamed(report: Report): string | undefined {
  const { blame } = report.rule;
  if (blame === undefined) return undefined;
  const name = blame === "outer" ? outermost(report) : innermost(report);
  return name === undefined ? undefined : shared(name);
}

function innermost(report: Report): string | undefined {
  for (const names of waysOf(report)) {
    const name = names.find((name) => isToBlame(report, name));
    if (name !== undefined) return name;
  }
  if (report.rule.blame === "lock") return lockSites(report)[0];
  const { named } = report.match.groups ?? {};
  return named === undefined || isInnocent(named) ? undefined : functionName(named);
}

/** The functions that may be to blame, innermost first, on each way that the report shows. */
function waysOf(report: Report): string[][] {
  const { blame } = report.rule;
  if (blame === "lock") return lockWays(report);
  const own = traces(report).map(certain);
  if (blame !== "site") return own;
  const { site } = report.match.groups ?? {};
  return [[...(site === undefined ? [] : [functionName(site)]), ...registers(report)], ...own];
}

/** Where every stack begins. */
const ROOT = /^(?:entry_|do_syscall_|el0_|el0t_|ret_from_fork)/;

function isToBlame({ rule, astray }: Report, name: string): boolean {
  // Whoever jumped to where no function is did it himself.
  if (astray) return !REPORTING.has(name);
  if (rule.unless?.test(name) === true) return true;
  return !(rule.skip?.test(name) === true || ROOT.test(name) || isInnocent(name));
}

const isInnocent = (name: string): boolean => INNOCENT.some((names) => names.has(name));

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
