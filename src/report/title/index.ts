import { blamed } from "./blame.js";
import { functionName, readFrame } from "./frames.js";
import { type Identity, readIdentity, readVersion } from "./identity.js";
import { readLine } from "./lines.js";
import type { Report, Rule, Stack } from "./report.js";
import { announcedBy } from "./rules/index.js";
import { signatureOf } from "./signature.js";

/** What a log says about the crash that it ends in. */
export interface LogFacts extends Identity {
  /** One line, at most 256 characters, of the guest's making: escape it. Empty where there is no report. */
  readonly title: string;
  /** 16 hexadecimal digits, the same for the same bug; empty where there is no report. */
  readonly signature: string;
  /** panic, oops, bug, warning, kasan, hung-task, …; empty where there is no report. */
  readonly kind: string;
  /** The functions of the trace that matters, innermost first, at most 64. */
  readonly frames: readonly string[];
}

const MAX_TITLE_CHARS = 256;
const MAX_FRAMES = 64;
const MAX_REPORT_LINES = 400;

/** A panic that only says what happens because of the report before it. */
const CONSEQUENCE =
  /Kernel panic - not syncing: (?:.{0,30}: )?(?:Fatal exception|panic_on_|hung_task: |softlockup: |Hard LOCKUP|RCU Stall|Machine halted|scheduling while atomic|Attempted to kill init|Aiee, killing interrupt handler)/;

const HEADING = /^ *(?:Call [Tt]race:|Backtrace:|stack backtrace:|backtrace|NMI backtrace for cpu)/;
/** Headings of what happened elsewhere or before. */
const ASIDE =
  /^ *(?:Allocated|Freed|Uninit was|-> #\d|Last potentially related|Local variable|Showing all locks|the existing dependency|Preemption disabled at|rcu: RCU grace-period kthread stack|RCU grace-period kthread stack|.{0,40}(?:which became|was registered at|IN-\w+ at|INITIAL USE at)|the dependencies between|stack backtrace of|Sending NMI)/;
const IP =
  /^(?:RIP: (?:0010:)?|IP: |pc : |PC is at )(?:\[<[0-9a-f]+>\] {0,4})*(?:\[<[0-9a-f]+>\] )?([\w.$]{1,200})\+0x/;

const ASTRAY = /^(?:RIP: 0010:|pc : |IP: )(?:\[<[0-9a-f]+>\] {0,4})*(?: *\(null\)|0x[0-9a-f]+$)/;
const INTERRUPT_END = /<(?:\/IRQ|EOI)>/;

interface Open {
  readonly report: Report;
  readonly caller: string;
  identity: Identity | undefined;
  left: number;
}

/**
 * Reads what a dump's or a console's lines say about the crash: its title in syzkaller's manner, the
 * signature by which the same bug is known again, and who ran where. Time grows with the text's
 * length, memory doesn't.
 */
export function readFacts(lines: Iterable<string>): LogFacts {
  let release: string | undefined;
  let lastIdentity: Identity | undefined;
  let open: Open | undefined;
  let best: Open | undefined;
  for (const raw of lines) {
    const { text, caller } = readLine(raw);
    release = readVersion(text) ?? release;
    const identity = readIdentity(text);
    lastIdentity = identity ?? lastIdentity;
    const announced = announcedBy(text);
    if (announced !== undefined && !(open !== undefined && belongs(announced.rule, text))) {
      open = {
        report: { ...announced, ip: undefined, astray: false, stacks: [], lines: [] },
        caller,
        identity: undefined,
        left: MAX_REPORT_LINES,
      };
      if (best === undefined || best.report.rule.weight < open.report.rule.weight) best = open;
    } else {
      const of = [open, best].find((one) => one?.caller === caller);
      if (of !== undefined && of.left > 0) {
        of.left = text.startsWith("---[ end ") ? 0 : of.left - 1;
        of.identity ??= identity;
        add(of.report, text);
      }
    }
  }
  const identity = best?.identity ?? lastIdentity;
  const found: Identity = {
    ...(release === undefined ? {} : { release }),
    ...identity,
  };
  if (best === undefined) return { title: "", signature: "", kind: "", frames: [], ...found };
  const { report } = best;
  const title = titleOf(report);
  const frames = framesOf(report);
  const { kind } = report.rule;
  return { title, signature: signatureOf(kind, title, frames), kind, frames, ...found };
}

const belongs = (rule: Rule, text: string): boolean =>
  rule.continues === true || CONSEQUENCE.test(text);

function add(report: Report, text: string): void {
  const ip = IP.exec(text)?.[1];
  if (ip !== undefined) {
    const name = functionName(ip);
    if (report.ip === undefined) report.ip = name;
    else report.stacks.at(-1)?.frames.push({ name, certain: true });
    return;
  }
  const aside = ASIDE.test(text);
  if (aside || HEADING.test(text)) {
    const last = report.stacks.at(-1);
    // An aside has its own trace, whose heading follows.
    if (last?.aside !== true || last.frames.length > 0) {
      report.stacks.push({ aside, frames: [], interrupt: 0 });
    }
    return;
  }
  if (report.ip === undefined && ASTRAY.test(text)) report.astray = true;
  if (INTERRUPT_END.test(text)) {
    const stack = stackOf(report);
    if (stack.interrupt === 0) stack.interrupt = stack.frames.length;
  }
  const frame = readFrame(text);
  if (frame !== undefined) stackOf(report).frames.push(frame);
  else if (report.lines.length < 64) report.lines.push(text);
}

function stackOf(report: Report): Stack {
  let stack = report.stacks.at(-1);
  if (stack === undefined) {
    stack = { aside: false, frames: [], interrupt: 0 };
    report.stacks.push(stack);
  }
  return stack;
}

function titleOf(report: Report): string {
  const { rule, match, lines } = report;
  const { detail } = rule;
  const found =
    detail && lines.map((line) => detail.exec(line)?.[1]).find((word) => word !== undefined);
  const frame = rule.blame === undefined ? "" : (blamed(report) ?? "corrupted");
  return rule.title
    .replace(/\$(\d)/g, (_, digit: string) => match[Number(digit)] ?? "")
    .replace("{detail} ", found === undefined ? "" : `${found} `)
    .replace("{detail}", found ?? "corrupted")
    .replace("{frame}", () => frame)
    .slice(0, MAX_TITLE_CHARS);
}

function framesOf({ stacks }: Report): string[] {
  const stack = stacks.find(({ aside, frames }) => !aside && frames.length > 0);
  return (stack?.frames ?? [])
    .filter(({ certain }) => certain)
    .slice(0, MAX_FRAMES)
    .map(({ name }) => name);
}
