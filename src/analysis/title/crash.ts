import { addLine, noEvidence } from "./collect.js";
import { type Identity, readIdentity } from "./identity.js";
import type { LogLine } from "./lines.js";
import type { Report } from "./report.js";
import type { Rule } from "./rule.js";
import { announcedBy } from "./rules/index.js";
import { oopsEnd } from "./rules/oops.js";

/** What one log can make us keep: four reports at most are kept at a time. */
const MAX_REPORT_LINES = 1000;

/** Lines of no report that are kept: the beginning of the one that they are of may be cut off. */
const MAX_UNCLAIMED = 128;

/** What begins behind it has to do with nothing before. */
const CUT_HERE = /^-{12}\[ cut here \]-{12}|^8<--- cut here ---/;

/** Reports with less between them have to do with each other. */
const BURST_SECONDS = 10;

/** A report of the same task so soon after another is the other's effect. */
const EFFECT_SECONDS = 1;

/** A panic that says no more than what becomes of the kernel because of the report before it. */
const CONSEQUENCE =
  /Kernel panic - not syncing: (?:.{0,30}: )?(?:Fatal exception|panic_on_|hung_task: |softlockup: |Hard LOCKUP|RCU Stall|Machine halted|scheduling while atomic|Attempted to kill (?:init|the idle task)|corrupted stack end|Aiee, killing interrupt handler|Oopsed too often|(?:system )?[Ww]arned too often|(?:kasan|kmsan)\.\w{1,20}(?:=\w{1,20})? set|Asynchronous SError|BUG!$)/;

/** A report as far as it was read. */
interface Reading {
  readonly report: Report;
  readonly caller: string;
  /** When it began, in seconds. */
  readonly time: number;
  identity: Identity | undefined;
  linesLeft: number;
  /** That of the gravest report of its burst. */
  weight: number;
}

/**
 * Finds, among the reports of a log, the one that names the crash. Reports that follow each other
 * closely are one burst, and the gravest of it, among equals the first, stands for it: what comes
 * after is mostly its effect, and surely if the same task follows at once. An oops behind another that came to its end begins a new burst. If a
 * panic follows that is only a consequence, its burst names the crash; otherwise the gravest of all,
 * among equals the last, because that is what a dump was made for.
 */
export class CrashFinder {
  /** The newest report. */
  #open: Reading | undefined;
  #burst: Reading | undefined;
  /** What stood for the burst before. */
  #previous: Reading | undefined;
  #crash: Reading | undefined;
  #panicked = false;
  /** When the burst's last line was printed, in seconds. */
  #lastTime = Number.NEGATIVE_INFINITY;

  /** The newest lines of no report, and some more. */
  #unclaimed: LogLine[] = [];

  /** The report that names the crash, and who ran then as far as the report says. */
  get crash(): { readonly report: Report; readonly identity: Identity | undefined } | undefined {
    return this.#crash;
  }

  push({ text, caller, time: stamp }: LogLine): void {
    // A line that doesn't tell its time counts as printed with the one before.
    const time = stamp || this.#lastTime;
    const line = { text, caller, time };
    const announced = announcedBy(text) ?? this.#endOfOops(text);
    if (announced === undefined || this.#continues(announced.rule, line)) this.#add(line);
    else if (!this.#panicked) this.#begin(announced.rule, announced.match, line);
    else return;
    if (this.#open !== undefined && this.#open.linesLeft > 0) this.#lastTime = time;
  }

  /** Whether a line that could begin a report belongs to the burst. */
  #continues(rule: Rule, { text, caller, time }: LogLine): boolean {
    if (this.#burst === undefined || time - this.#lastTime > BURST_SECONDS) return false;
    if (CONSEQUENCE.test(text)) {
      // While one task panics over its oops, another's may come.
      const own = [this.#burst, this.#previous].find(
        (one) => one?.caller === caller && time - one.time <= BURST_SECONDS,
      );
      this.#crash = own ?? this.#burst;
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

  #endOfOops(text: string): { rule: Rule; match: RegExpExecArray } | undefined {
    if (this.#unclaimed.at(-1)?.text.startsWith("---[ end trace") !== true) return undefined;
    const match = oopsEnd.announces.exec(text);
    return match === null ? undefined : { rule: oopsEnd, match };
  }

  #begin(rule: Rule, match: RegExpExecArray, line: LogLine): void {
    const { weight } = rule;
    const { caller, time } = line;
    const reading: Reading = {
      report: beginReport(rule, match),
      caller,
      time,
      identity: undefined,
      linesLeft: rule === oopsEnd ? 0 : MAX_REPORT_LINES,
      weight,
    };
    if (this.#isOver(weight, time)) {
      this.#previous = this.#burst;
      this.#burst = undefined;
    }
    const effect = this.#isEffect(reading);
    if (this.#burst === undefined || (weight > this.#burst.weight && !effect)) {
      this.#burst = reading;
    }
    this.#burst.weight = Math.max(this.#burst.weight, weight);
    if (this.#burst.weight >= (this.#crash?.weight ?? 0)) this.#crash = this.#burst;
    // A single line takes nothing from the report that it was printed into.
    const single = rule.blame === undefined && rule.detail === undefined && weight < 3;
    if (this.#open === undefined || (!single && !effect)) this.#open = reading;
    this.#lastTime = time;
    if (rule.before !== true) return;
    for (const one of this.#before(line)) this.#take(reading, one.text);
  }

  /** What is left of the report that a line closes. */
  #before({ text, caller, time }: LogLine): LogLine[] {
    const lines = this.#unclaimed.filter(
      (one) => one.caller === caller && !(time - one.time > BURST_SECONDS),
    );
    // Once only: a log could close many.
    this.#unclaimed = [];
    const start = lines.findLastIndex((one) => CUT_HERE.test(one.text)) + 1;
    return [...lines.slice(start), { text, caller, time }];
  }

  /**
   * Whether a task only comes to grief over what the burst began with: its oops may even cut
   * the first report off, and then shows the trace that this one lacks.
   */
  #isEffect({ caller, weight, time }: Reading): boolean {
    if (this.#burst === undefined || !caller.startsWith("T") || weight === 3) return false;
    return caller === this.#burst.caller && time - this.#burst.time < EFFECT_SECONDS;
  }

  #add(line: LogLine): void {
    const { text, caller } = line;
    const reading = [this.#open, this.#burst].find((one) => one?.caller === caller);
    if (reading === undefined || reading.linesLeft === 0) {
      this.#unclaimed.push(line);
      if (this.#unclaimed.length >= 2 * MAX_UNCLAIMED) {
        this.#unclaimed = this.#unclaimed.slice(-MAX_UNCLAIMED);
      }
      return;
    }
    reading.linesLeft = text.startsWith("---[ end ") ? 0 : reading.linesLeft - 1;
    this.#take(reading, text);
  }

  #take(reading: Reading, text: string): void {
    const who = readIdentity(text);
    if (who !== undefined && (reading.identity === undefined || who.pid === reading.report.task)) {
      reading.identity = who;
    }
    addLine(reading.report, text);
  }
}

/** A report of which nothing but its first line is known. */
function beginReport(rule: Rule, match: RegExpExecArray): Report {
  const { pid } = match.groups ?? {};
  return { ...noEvidence(), rule, match, task: pid === undefined ? undefined : Number(pid) };
}
