import { addLine, beginReport } from "./collect.js";
import { type Identity, readIdentity } from "./identity.js";
import type { LogLine } from "./lines.js";
import type { Report } from "./report.js";
import type { Rule } from "./rule.js";
import { announcedBy } from "./rules/index.js";

/** What one log can make us keep: three reports at most are kept at a time. */
const MAX_REPORT_LINES = 1000;

/** Reports with less between them have to do with each other. */
const BURST_SECONDS = 10;

/** A panic that says no more than what becomes of the kernel because of the report before it. */
const CONSEQUENCE =
  /Kernel panic - not syncing: (?:.{0,30}: )?(?:Fatal exception|panic_on_|hung_task: |softlockup: |Hard LOCKUP|RCU Stall|Machine halted|scheduling while atomic|Attempted to kill init|Aiee, killing interrupt handler)/;

/** A report as far as it was read. */
interface Reading {
  readonly report: Report;
  readonly caller: string;
  identity: Identity | undefined;
  linesLeft: number;
}

/**
 * Finds, among the reports of a log, the one that names the crash. Reports that follow each other
 * closely are one burst, and the gravest of it, among equals the first, stands for it: what comes
 * after is mostly its effect. An oops behind another that came to its end begins a new burst. If a
 * panic follows that is only a consequence, its burst names the crash; otherwise the gravest of all,
 * among equals the last, because that is what a dump was made for.
 */
export class CrashFinder {
  /** The newest report. */
  #open: Reading | undefined;
  #burst: Reading | undefined;
  #crash: Reading | undefined;
  #panicked = false;
  /** When the burst's last line was printed, in seconds. */
  #lastTime = Number.NEGATIVE_INFINITY;

  /** The report that names the crash, and who ran then as far as the report says. */
  get crash(): { readonly report: Report; readonly identity: Identity | undefined } | undefined {
    return this.#crash;
  }

  push(line: LogLine): void {
    const { text, time } = line;
    const announced = announcedBy(text);
    if (announced === undefined || this.#continues(announced.rule, line)) this.#add(line);
    else if (!this.#panicked) this.#begin(announced.rule, announced.match, line);
    else return;
    if (this.#open !== undefined && this.#open.linesLeft > 0) this.#lastTime = time;
  }

  /** Whether a line that could begin a report belongs to the burst. */
  #continues(rule: Rule, { text, time }: LogLine): boolean {
    if (this.#burst === undefined || time - this.#lastTime > BURST_SECONDS) return false;
    if (CONSEQUENCE.test(text)) {
      this.#crash = this.#burst;
      this.#panicked = true;
      return true;
    }
    return rule.continues === true;
  }

  /** Whether what is reported now has to do with the burst no more. */
  #isOver(weight: number, time: number): boolean {
    if (time - this.#lastTime > BURST_SECONDS) return true;
    // An oops that the kernel came back from: the next one has a dump of its own.
    const { report, linesLeft } = this.#burst ?? {};
    return linesLeft === 0 && report?.rule.weight === 2 && weight === 2;
  }

  #begin(rule: Rule, match: RegExpExecArray, { caller, time }: LogLine): void {
    const reading: Reading = {
      report: beginReport(rule, match),
      caller,
      identity: undefined,
      linesLeft: MAX_REPORT_LINES,
    };
    const { weight } = rule;
    if (this.#isOver(weight, time)) this.#burst = undefined;
    if (this.#burst === undefined || weight > this.#burst.report.rule.weight) {
      this.#burst = reading;
      if (this.#crash === undefined || weight >= this.#crash.report.rule.weight) {
        this.#crash = reading;
      }
    }
    // A single line takes nothing from the report that it was printed into.
    const single = rule.blame === undefined && rule.detail === undefined && weight < 3;
    if (this.#open === undefined || !single) this.#open = reading;
    this.#lastTime = time;
  }

  #add({ text, caller }: LogLine): void {
    const reading = [this.#open, this.#burst].find((one) => one?.caller === caller);
    if (reading === undefined || reading.linesLeft === 0) return;
    reading.linesLeft = text.startsWith("---[ end ") ? 0 : reading.linesLeft - 1;
    reading.identity ??= readIdentity(text);
    addLine(reading.report, text);
  }
}
