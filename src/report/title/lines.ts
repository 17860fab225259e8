/** Longer lines are cut: printk's own are at most 1 KiB, everything behind that is not the kernel's. */
const MAX_LINE_CHARS = 1024;

/** A line of a log without what stood before the kernel's own words. */
export interface LogLine {
  readonly text: string;
  /** Who printed it, `T123` a task or `C1` a CPU, where the kernel says so (CONFIG_PRINTK_CALLER). */
  readonly caller: string;
}

/**
 * A console's line may begin with a prompt or with what was printed before without a newline: the
 * kernel's words begin behind the time stamp, if there is one near the line's beginning.
 */
const STAMP = /\[ {0,12}\d{1,10}\.\d{6}\](?:\[ {0,8}([TC]\d{1,10})\])? ?/;
const STAMP_WITHIN_CHARS = 120;

const LEVEL = /^<\d{1,4}>/;

/** Takes `<level>`, `[time]` and `[caller]` off a line, and cuts it where it is too long. */
export function readLine(raw: string): LogLine {
  let line = raw.length > MAX_LINE_CHARS ? raw.slice(0, MAX_LINE_CHARS) : raw;
  if (line.endsWith("\r")) line = line.slice(0, -1);
  const stamp = STAMP.exec(
    line.length > STAMP_WITHIN_CHARS ? line.slice(0, STAMP_WITHIN_CHARS) : line,
  );
  if (stamp === null) return { text: line.replace(LEVEL, ""), caller: "" };
  return { text: line.slice(stamp.index + stamp[0].length), caller: stamp[1] ?? "" };
}
