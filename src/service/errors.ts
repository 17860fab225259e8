import { fstatSync } from "node:fs";
import { systemReason } from "../os/errno.js";
// The one module, not all of report: whatever starts loads this file.
import { printableLine } from "../records/printable.js";

/** Something the user can mend. It is shown as one line, without a stack. */
export class UserError extends Error {
  readonly exitStatus: number;

  constructor(message: string, exitStatus = 1) {
    super(message);
    this.name = "UserError";
    this.exitStatus = exitStatus;
  }
}

/** The exit status for a command line that can't be understood. */
export const USAGE = 2;

/** The line for an error of any kind: what the user can mend, or what the system said of which file. */
export function errorLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const reason = systemReason(error);
  if (reason === undefined) return error.message;
  if ("path" in error) return `${String(error.path)}: ${reason}`;
  // As `bind /run/vm1: EACCES`: the call, what it was asked, the number's name.
  return `${error.message.replace(/: E[A-Z0-9]+$/, "")}: ${reason}`;
}

/** Errno's name, as in `ENOENT`, or that of another error which has one. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** syslog(3)'s numbers. */
const PRIORITY = { error: 3, warn: 4, notice: 5, info: 6 } as const;

/** How much a line matters, from most to least. */
export type Level = keyof typeof PRIORITY;

export const LEVELS = Object.keys(PRIORITY) as Level[];

/** Whether a line of one level is wanted where those down to another are. */
export const isAtLeast = (level: Level, wanted: Level): boolean =>
  PRIORITY[level] <= PRIORITY[wanted];

/** systemd's journal takes a line's priority from the line's beginning (sd-daemon(3)). */
function isJournal(fd: number): boolean {
  const { JOURNAL_STREAM } = process.env;
  if (JOURNAL_STREAM === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return JOURNAL_STREAM === `${dev}:${ino}`;
}

/** A line on stderr: what the program says beside its output. Names and paths in it are made printable. */
export function warn(line: string, level: Level = "info"): void {
  const priority = isJournal(2) ? `<${PRIORITY[level]}>` : "";
  process.stderr.write(`${priority}virtio-pstore: ${printableLine(line)}\n`);
}
