/** States of a task: macros of the kernel's source, which nothing in its memory names (include/linux/sched.h). */
const UNINTERRUPTIBLE = 0x2;
const REPORTED = 0x7f;
const WAKEKILL = 0x100;
const NOLOAD = 0x400;
const RTLOCK_WAIT = 0x1000;
const FROZEN = 0x8000;

/** By the number of the highest bit, from 1 on; 0 is running. */
const LETTERS = "RSDTtXZP";

/** A task's state as /proc/PID/stat shows it: one letter. */
export function stateLetter(state: number, exitState: number): string {
  const isIdle = (state & UNINTERRUPTIBLE) !== 0 && (state & NOLOAD) !== 0;
  if (isIdle) return "I";
  if ((state & (RTLOCK_WAIT | FROZEN)) !== 0) return "D";
  const reported = (state | exitState) & REPORTED;
  return LETTERS[32 - Math.clz32(reported)] ?? "?";
}

/** Whether it waits for something that nothing else can end: a frozen task waits to be thawed, and an idle one for work. */
export function isBlocked(state: number, exitState: number): boolean {
  return stateLetter(state, exitState) === "D" && (state & FROZEN) === 0;
}

/** Whether a deadly signal ends its wait. */
export const isKillable = (state: number): boolean => (state & WAKEKILL) !== 0;
