/** How a kind of report is known, and what it is called. */
export interface Rule {
  /** What sort of crash it is, in one word. */
  readonly kind: string;
  /** Matches the line that begins the report. Its groups `task` and `pid` are of whom the report is about. */
  readonly announces: RegExp;
  /**
   * The title, with `$1` for a group of `announces`, `{text}` for the first one without its
   * numbers, `{detail}` for what `detail` finds, `{frame}` for the function that is blamed, and
   * `{where}` for "in" and that function, or nothing.
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
  /** Its own stack has no heading. */
  readonly bare?: true;
  /** Its own stack has no `CPU: … PID: …` line: what comes behind one is another's. */
  readonly headless?: true;
  /** Registers and trace stand before the line that announces it, all that is left of a report among them. */
  readonly before?: true;
  /** Matches the heading of the stack that is looked at before all others. */
  readonly first?: RegExp;
  /**
   * How grave it is: 3 the kernel stopped by itself, 2 it is or may be damaged, 1 it went on, 0 not
   * by itself a reason to look.
   */
  readonly weight: 0 | 1 | 2 | 3;
  /** The report says more about the one before it, if that still goes on. */
  readonly continues?: true;
}

/**
 * trace: the innermost function of the trace that isn't innocent; site: the same, but the function
 * that the first line names as its group `site` and the instruction pointer come first; lock:
 * where the locks were taken that lockdep's report is about comes first; outer: the outermost that
 * has a subject.
 */
export type Blame = "site" | "lock" | "trace" | "outer";
