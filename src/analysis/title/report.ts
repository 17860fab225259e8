import type { Frame } from "./frames.js";
import type { Rule } from "./rule.js";

/** The functions under one heading: a call trace, or the stack of an allocation. */
export interface Stack {
  /** It tells what happened at another time or to another task: an allocation, who took a lock. */
  readonly aside: boolean;
  /** Empty where frames stand without a heading. */
  readonly heading: string;
  /** The process id in the `CPU: … PID: …` line before it; undefined without one. */
  readonly task: number | undefined;
  readonly frames: Frame[];
  /** How many frames lie before what interrupted ends and what was interrupted begins; at most 8. */
  readonly boundaries: number[];
}

/** What some lines of a log say of who was where. */
export interface Evidence {
  /** The function that the CPU was in, RIP on x86-64 and pc on arm64, before it those inlined there. */
  readonly ip: { readonly name: string; readonly task: number | undefined }[];
  /** The process id of whom it is about, where it tells that besides its `CPU: … PID: …` line. */
  task: number | undefined;
  /** The process ids in the `CPU: … PID: …` lines, another's among them. */
  readonly shown: number[];
  /** The one that frames belong to now; undefined where the next begins a stack. */
  stack: Stack | undefined;
  /** The CPU was where no function is: something jumped there. */
  astray: boolean;
  /** The next trace is that of another task. */
  otherTask: boolean;
  readonly stacks: Stack[];
  /** Lines that are neither frames nor headings. */
  readonly lines: string[];
}

/** What a report says behind the line that announces it. */
export interface Report extends Evidence {
  readonly rule: Rule;
  readonly match: RegExpExecArray;
}
