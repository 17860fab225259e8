import type { Frame } from "./frames.js";

/** The functions under one heading: a call trace, or the stack of an allocation. */
export interface Stack {
  /** It tells what happened at another time or to another task: an allocation, who took a lock. */
  readonly aside: boolean;
  readonly frames: Frame[];
  /** How many of `frames` lie before the end of the interrupt that the trace begins in, if it does. */
  interrupt: number;
}

/** What a report says behind the line that announces it. */
export interface Report {
  readonly rule: Rule;
  readonly match: RegExpExecArray;
  /** The function that the CPU was in: RIP on x86-64, pc on arm64. */
  ip: string | undefined;
  /** The CPU was where no function is: something jumped there. */
  astray: boolean;
  readonly stacks: Stack[];
  /** Lines that are neither frames nor headings. */
  readonly lines: string[];
}

/** How a kind of report is known, and what it is called. */
export interface Rule {
  /** What sort of crash it is, in one word. */
  readonly kind: string;
  /** Matches the line that begins the report. */
  readonly announces: RegExp;
  /**
   * The title, with `$1` for a group of `announces`, `{detail}` for what `detail` finds and
   * `{frame}` for the function that is blamed.
   */
  readonly title: string;
  /** Matches a line behind the first one; its group is `{detail}`. */
  readonly detail?: RegExp;
  /** How the function to blame is found; without it the title names none. */
  readonly blame?: Blame;
  /** Functions that this kind of report never blames, besides those that nobody blames. */
  readonly skip?: RegExp;
  /** Functions that nobody else blames, but this kind of report does. */
  readonly unless?: RegExp;
  /**
   * How grave it is: 2 the kernel is or may be damaged, 1 it went on, 0 not by itself a reason to
   * look.
   */
  readonly weight: 0 | 1 | 2;
  /** The report says more about the one before it, if that still goes on. */
  readonly continues?: true;
}

/**
 * site: the function that the first line names as its group `site`, then the instruction pointer, then
 * the trace; lock: where the lock was asked for, as lockdep says, then the trace; trace: the trace alone; outer: the outermost function that has a subject.
 */
export type Blame = "site" | "lock" | "trace" | "outer";
