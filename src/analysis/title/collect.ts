import { functionName, readFrame } from "./frames.js";
import { readIdentity } from "./identity.js";
import type { Evidence, Stack } from "./report.js";

/** What is kept of a report's other lines: titles need a few of the first. */
const MAX_OTHER_LINES = 64;
const MAX_BOUNDARIES = 8;
/** Functions inlined at one address. */
const MAX_INLINED = 8;

const HEADING = /^ *(?:Call [Tt]race:|Backtrace:|stack backtrace:|backtrace|NMI backtrace for cpu)/;

/** Headings of what happened elsewhere or before. */
const ASIDE =
  /^ *(?:Allocated|Freed|Uninit was|-> #\d|Last potentially related|Local variable|Showing all locks|the existing dependency|Preemption disabled at|Last Breaking-Event-Address|.{0,40}(?:which became|was registered at|IN-\w+ at|INITIAL USE at)|the dependencies between)/;

/** Behind this the next heading is that of another task's trace; the last two are ours (memory/hangs). */
const OTHER_TASK =
  /RCU grace-period kthread stack dump:|^virtio-pstore: (?:CPU \d{1,5} runs |.{1,80} is blocked$)/;

/** Where the CPU was: as x86 tells it, arm and arm64, riscv and mips, powerpc, s390, loongarch. */
const REGISTER = new RegExp(
  `^ *(?:${[
    "[ER]?IP: (?<segment>[0-9a-f]{4}:)?",
    "(?:EIP|PC) is at ",
    "e?pc *: ",
    "NIP (?=\\[)",
    "Krnl PSW : [0-9a-f]{16} [0-9a-f]{16} \\(",
    "ERA: ",
  ].join("|")})(?:\\[<?[0-9a-f]+>?\\] {0,4}|[0-9a-f]{8,16} )*`,
);
const AT_FUNCTION = /^([\w.$]{1,200})(?:\+0x| \S{1,300}\.[chS]:)/;
const AT_NO_FUNCTION = /^(?: *\(null\)|0x[0-9a-f]+\)?$)/;
/** A segment of x86 whose code is a program's: there is no function of the kernel's. */
const USER_SEGMENT = /[37bf]:$/;

/** `1 lock held by foo/7:`, `foo/7 is trying to acquire lock:`, `Read of size 8 by task foo/7`. */
const TASK = /\b(?:held by|by task) .{1,40}\/(\d{1,10})\b|^.{1,40}\/(\d{1,10}) (?:is |\[HC)/;

const INTERRUPT_END = /<(?:\/IRQ|EOI)>|^Exception stack\(/;
/** Hands a packet on, whoever received it: its protocol has only to do with what comes behind. */
const RECEIVE = /^__netif_receive_skb(?:_list)?_core$/;

/** The end of registers and trace; what comes then has to do with them, but stands apart. */
const END = /^(?:---\[ end |Modules linked in:)/;

/** Of no line yet. */
export function noEvidence(): Evidence {
  return {
    ip: [],
    task: undefined,
    shown: [],
    stack: undefined,
    astray: false,
    otherTask: false,
    stacks: [],
    lines: [],
  };
}

/** Takes in what a line of a report says. */
export function addLine(report: Evidence, text: string): void {
  const register = REGISTER.exec(text);
  const pid = readIdentity(text)?.pid;
  if (pid !== undefined) {
    report.shown.push(pid);
    report.stack = undefined;
  } else if (register !== null) {
    const isUser = USER_SEGMENT.test(register.groups?.segment ?? "");
    addRegister(report, text.slice(register[0].length), isUser);
  } else if (OTHER_TASK.test(text)) {
    report.otherTask = true;
  } else if (ASIDE.test(text)) {
    beginStack(report, text, true);
  } else if (HEADING.test(text)) {
    beginStack(report, text, report.otherTask);
    report.otherTask = false;
  } else {
    if (END.test(text)) report.stack = undefined;
    addOther(report, text);
  }
}

function addRegister(report: Evidence, value: string, isUser: boolean): void {
  const symbol = AT_FUNCTION.exec(value)?.[1];
  const { stack } = report;
  // In the midst of a trace it is where an interrupt or exception came; frames without a heading are
  // what is left of another's.
  const isWithin = stack !== undefined && stack.heading !== "" && stack.frames.length > 0;
  if (symbol === undefined) {
    const isFirst = report.ip.length === 0 && !isWithin && !isUser;
    if (isFirst && AT_NO_FUNCTION.test(value)) report.astray = true;
    return;
  }
  const name = functionName(symbol);
  if (isWithin) stack.frames.push({ name, certain: true });
  else if (!report.astray && report.ip.length < MAX_INLINED) {
    report.ip.push({ name, task: report.shown.at(-1) });
  }
}

function addOther(report: Evidence, text: string): void {
  if (INTERRUPT_END.test(text)) endInterrupt(lastStack(report));
  const frame = readFrame(text);
  if (frame !== undefined) {
    const stack = lastStack(report);
    stack.frames.push(frame);
    if (RECEIVE.test(frame.name)) endInterrupt(stack);
  } else if (report.lines.length < MAX_OTHER_LINES) {
    report.lines.push(text);
    const task = TASK.exec(text);
    if (task !== null) report.task ??= Number(task[1] ?? task[2]);
  }
}

function beginStack(report: Evidence, heading: string, aside: boolean): Stack {
  const stack: Stack = { aside, heading, task: report.shown.at(-1), frames: [], boundaries: [] };
  report.stacks.push(stack);
  report.stack = stack;
  return stack;
}

const lastStack = (report: Evidence): Stack => report.stack ?? beginStack(report, "", false);

function endInterrupt({ frames, boundaries }: Stack): void {
  if (boundaries.length < MAX_BOUNDARIES) boundaries.push(frames.length);
}
