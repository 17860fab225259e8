import { functionName } from "./frames.js";
import { ENTRY } from "./kernel-layers.js";
import type { Report } from "./report.js";
import { certain, traces } from "./traces.js";

/** Heading of how a lock was taken that another depends on. */
const CHAIN = /^ *-> #\d/;

/** `(&lock){+.+.}, at: [<address>] foo+0x1/0x2` */
const SITE = /, at: (?:\[<[0-9a-f]{1,16}>\] {1,8})?([\w.$]{1,200})(?:\+0x| )/;
const HELD_LOCKS = /\blocks? held by /;

/** Where the locks were taken that a report is about; if it names none, those that are held. */
export function lockSites({ lines }: Report): string[] {
  const list = lines.findIndex((line) => HELD_LOCKS.test(line));
  const subjects = sitesIn(lines.slice(0, Math.max(list, 0)));
  return subjects.length > 0 ? subjects : sitesIn(lines);
}

const sitesIn = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => SITE.exec(line)?.[1] ?? []).map(functionName);

/** The ways on which a lock was asked for, the one that says most first. */
export function lockWays(report: Report): string[][] {
  const { rule, stacks } = report;
  const behind = (pattern: RegExp) =>
    stacks.filter(({ heading }) => pattern.test(heading)).map(certain);
  const own = traces(report).map(certain);
  const ways = rule.first
    ? [...behind(rule.first), ...own]
    : [lockSites(report), ...own, ...behind(CHAIN)];
  return ways.map((names) => names.filter((name) => !ENTRY.has(name)));
}
