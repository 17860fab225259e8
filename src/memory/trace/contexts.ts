import type { Kernel } from "../kernel/index.js";
import { Cmdlines } from "./cmdlines.js";
import { fieldNumber } from "./event-text.js";
import type { Events } from "./events.js";

/** What every event has (struct trace_entry). */
export interface Context {
  readonly pid: number;
  readonly task: string;
  /** Five characters, as the header of tracefs explains them. */
  readonly flags: string;
}

/** Reads what every event of a kernel has. */
export class Contexts {
  readonly #cmdlines: Cmdlines;
  readonly #pid: (record: Buffer) => number;
  readonly #flags: (record: Buffer) => number;
  readonly #count: (record: Buffer) => number;
  readonly #bits: (name: string) => number;
  readonly #known = new Map<number, string>();

  constructor(kernel: Kernel, events: Events) {
    this.#cmdlines = new Cmdlines(kernel);
    const number = (name: string): ((record: Buffer) => number) => {
      const field = events.common.find((one) => one.name === name);
      return (record) => Number(fieldNumber(record, field));
    };
    this.#pid = number("common_pid");
    this.#flags = number("common_flags");
    this.#count = number("common_preempt_count");
    const names = kernel.types?.enum("trace_flag_type");
    this.#bits = (name) => Number(names?.get(`TRACE_FLAG_${name}`) ?? 0n);
  }

  get cmdlines(): Cmdlines {
    return this.#cmdlines;
  }

  pid(record: Buffer): number {
    return this.#pid(record);
  }

  of(record: Buffer): Context {
    const pid = this.#pid(record);
    const flags = this.#flags(record);
    const count = this.#count(record);
    const key = flags * 256 + count;
    let shown = this.#known.get(key);
    if (shown === undefined) {
      shown = this.#shown(flags, count);
      this.#known.set(key, shown);
    }
    return { pid, task: this.#cmdlines.name(pid), flags: shown };
  }

  /** As trace_print_lat_fmt(). */
  #shown(flags: number, count: number): string {
    const has = (name: string): boolean => (flags & this.#bits(name)) !== 0;
    const bottomHalfOff = has("BH_OFF");
    const interrupts = has("IRQS_OFF")
      ? bottomHalfOff
        ? "D"
        : "d"
      : bottomHalfOff
        ? "b"
        : has("IRQS_NOSUPPORT")
          ? "X"
          : ".";
    const resched = `${has("NEED_RESCHED") ? "n" : ""}${has("NEED_RESCHED_LAZY") ? "l" : ""}${has("PREEMPT_RESCHED") ? "p" : ""}`;
    const nmi = has("NMI");
    const hard = has("HARDIRQ");
    const soft = has("SOFTIRQ");
    const context = nmi ? (hard ? "Z" : "z") : hard ? (soft ? "H" : "h") : soft ? "s" : ".";
    const depth = (count & 0xf) === 0 ? "." : (count & 0xf).toString(16);
    const migration = count >> 4 === 0 ? "." : (count >> 4).toString(16);
    return `${interrupts}${RESCHED[resched] ?? "."}${context}${depth}${migration}`;
  }
}

/** Which of the three flags are set, and how that is shown. */
const RESCHED: Readonly<Record<string, string>> = {
  nlp: "B",
  np: "N",
  lp: "L",
  nl: "b",
  n: "n",
  l: "l",
  p: "p",
};
