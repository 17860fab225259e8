import { readClock } from "./clock.js";

/** Longer lines are cut: printk's own are at most 1 KiB, everything behind that is not the kernel's. */
const MAX_LINE_CHARS = 1024;

/** A line of a log without what stood before the kernel's own words, and without blanks at its end. */
export interface LogLine {
  readonly text: string;
  /** Who printed it, `T123` a task or `C1` a CPU, where the kernel says so (CONFIG_PRINTK_CALLER). */
  readonly caller: string;
  /** Seconds since boot, or of a clock; 0 where the line doesn't tell. */
  readonly time: number;
}

const STAMP = String.raw`\[ {0,12}(\d{1,10}\.\d{6})\](?:\[ {0,8}([TC]\d{1,10})\])? ?`;
const AT_START = new RegExp(`^(?:<\\d{1,4}>)?${STAMP}`);
const LEVEL = /^<\d{1,4}>/;

/** What `journalctl -o short-monotonic` writes behind the time stamp. */
const HOST = /^[^\s:]{1,255} kernel: /;
const KERNEL = " kernel: ";

/**
 * A console's line may begin with a prompt, or with what was printed before without a newline: then
 * the kernel's words begin behind the time stamp, if there is one near the line's beginning.
 */
const LATER = new RegExp(STAMP);
const LATER_WITHIN_CHARS = 120;

/** More messages than ever were printed into one line; what is behind them isn't read. */
const MAX_MESSAGES = 16;

/** A level with a facility above it: user space wrote the line, to /dev/kmsg (kernel/printk/printk.c, devkmsg_write). */
const OF_USER_SPACE = /^<(?:[89]|\d{2,4})>/;

/**
 * Takes `<level>`, `[time]` and `[caller]` off a line, or the date and host that a log of the host's put there; one
 * that holds several messages is parted. Nothing of what user space wrote.
 */
export function readLines(raw: string): LogLine[] {
  if (OF_USER_SPACE.test(raw)) return [];
  let line = raw.length > MAX_LINE_CHARS ? raw.slice(0, MAX_LINE_CHARS) : raw;
  let stamp = AT_START.exec(line) ?? stampIn(line.slice(0, LATER_WITHIN_CHARS));
  if (stamp === null) return readUnstamped(line.replace(LEVEL, "").trimEnd());
  const messages: LogLine[] = [];
  while (stamp !== null && messages.length < MAX_MESSAGES) {
    const [whole, time, caller = ""]: RegExpExecArray = stamp;
    line = line.slice(stamp.index + whole.length);
    stamp = stampIn(line);
    const text = line.slice(0, stamp?.index).trimEnd();
    const host = text.includes(KERNEL) ? (HOST.exec(text)?.[0].length ?? 0) : 0;
    messages.push({ text: host === 0 ? text : text.slice(host), caller, time: Number(time) });
  }
  return messages;
}

function readUnstamped(line: string): LogLine[] {
  const clock = readClock(line);
  if (clock === undefined) return [{ text: line, caller: "", time: 0 }];
  const { length, seconds, isKernel } = clock;
  return isKernel ? [{ text: line.slice(length), caller: "", time: seconds }] : [];
}

const stampIn = (line: string): RegExpExecArray | null =>
  line.includes("[") ? LATER.exec(line) : null;
