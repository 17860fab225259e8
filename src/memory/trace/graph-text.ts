import type { Kernel } from "../kernel/index.js";
import type { Contexts } from "./contexts.js";
import type { EventField } from "./event-field.js";
import { type EventTexts, fieldNumber } from "./event-text.js";
import type { CpuRecords, TraceRecord } from "./records.js";

const RULE = " ------------------------------------------";

/** The column of a line that tells no duration. */
const NO_DURATION = "              |  ";

/** How much longer than what a call took, in nanoseconds, and how that is marked. */
const MARKS: readonly (readonly [than: bigint, mark: string])[] = [
  [1_000_000_000n, "$"],
  [100_000_000n, "@"],
  [10_000_000n, "*"],
  [1_000_000n, "#"],
  [100_000n, "!"],
  [10_000n, "+"],
];

/** Deeper ones the kernel doesn't follow (FTRACE_RETFUNC_DEPTH). */
const MAX_DEPTH = 50;

/** A task's name and number are centred in so many characters. */
const TASK_WIDTH = 14;
const NAME_WIDTH = 7;

/** What is known of a CPU's calls. */
interface Row {
  pid: number | undefined;
  depth: number;
  /** Which function was entered at each depth and hasn't returned. */
  readonly entered: Map<number, bigint>;
}

/** The lines of the function graph tracer with its options as they are by default (kernel/trace/trace_functions_graph.c). */
export class GraphLines {
  readonly header = [
    "# CPU  DURATION                  FUNCTION CALLS",
    "# |     |   |                     |   |   |   |",
  ];
  readonly #texts: EventTexts;
  readonly #contexts: Contexts;
  readonly #withTimes: boolean;
  readonly #cpuWidth: number;
  readonly #interrupts: { readonly start: bigint; readonly end: bigint };
  readonly #rows = new Map<number, Row>();

  /** @param withTimes the option funcgraph-abstime, which isn't set by default. */
  constructor(kernel: Kernel, texts: EventTexts, contexts: Contexts, withTimes: boolean) {
    this.#withTimes = withTimes;
    this.#texts = texts;
    this.#contexts = contexts;
    const count = kernel.attempt("the number of CPUs", () =>
      kernel.u32(kernel.expectSymbol("nr_cpu_ids")),
    );
    this.#cpuWidth = String(Math.max((count ?? 1) - 1, 0)).length;
    this.#interrupts = {
      start: kernel.symbols?.address("__irqentry_text_start") ?? 0n,
      end: kernel.symbols?.address("__irqentry_text_end") ?? 0n,
    };
  }

  /**
   * An event's lines; undefined of those that aren't shown as a graph. A call that calls nothing takes its return,
   * too, from what follows on its CPU.
   */
  lines(record: TraceRecord, following: CpuRecords): string[] | undefined {
    const format = this.#texts.format(record.data);
    if (format?.system === "ftrace") {
      switch (format.name) {
        case "funcgraph_entry":
        case "fgraph_retaddr_entry":
          return this.#entry(record, following);
        case "funcgraph_exit":
          return this.#exit(record);
        case "function":
        case "kernel_stack":
          return undefined;
      }
    }
    const row = this.#row(record.cpu);
    const indent = row.depth > 0 ? "  ".repeat(row.depth + 1) : "";
    const isText = format?.system === "ftrace" && /^b?(?:print|puts)$/.test(format.name);
    const text = this.#texts.text(record.data);
    // Of a mark only what it says.
    const shown = isText ? text.slice(text.indexOf(": ") + 2) : text;
    return [
      ...this.#taskSwitch(record),
      `${this.#start(record)}${NO_DURATION}${indent}/* ${shown} */`,
    ];
  }

  #row(cpu: number): Row {
    let row = this.#rows.get(cpu);
    if (row === undefined) {
      row = { pid: undefined, depth: 0, entered: new Map() };
      this.#rows.set(cpu, row);
    }
    return row;
  }

  #entry(record: TraceRecord, following: CpuRecords): string[] {
    const { func, depth } = this.#call(record.data);
    const lines = this.#taskSwitch(record);
    if (this.#isInterrupt(func)) lines.push(`${this.#start(record)}  ==========> |`);
    const row = this.#row(record.cpu);
    const name = this.#texts.surroundings.symbol(func, false);
    const indent = "  ".repeat(depth);
    if (this.#returnsNext(record, func, following)) {
      const taken = following.take();
      const took = taken === undefined ? 0n : this.#call(taken.data).took;
      row.depth = depth - 1;
      if (depth < MAX_DEPTH) row.entered.delete(depth);
      lines.push(`${this.#start(record)}${duration(took)}${indent}${name}();`);
      if (this.#isInterrupt(func)) lines.push(`${this.#start(record)}  <========== |`);
      return lines;
    }
    row.depth = depth;
    if (depth < MAX_DEPTH) row.entered.set(depth, func);
    lines.push(`${this.#start(record)}${NO_DURATION}${indent}${name}() {`);
    return lines;
  }

  #exit(record: TraceRecord): string[] {
    const { func, depth, took } = this.#call(record.data);
    const row = this.#row(record.cpu);
    row.depth = depth - 1;
    const matches = depth >= MAX_DEPTH || row.entered.get(depth) === func;
    if (depth < MAX_DEPTH) row.entered.delete(depth);
    const lines = this.#taskSwitch(record);
    const name = matches ? "" : ` /* ${this.#texts.surroundings.symbol(func, false)} */`;
    lines.push(`${this.#start(record)}${duration(took)}${"  ".repeat(depth)}}${name}`);
    if (this.#isInterrupt(func)) lines.push(`${this.#start(record)}  <========== |`);
    return lines;
  }

  #returnsNext(record: TraceRecord, func: bigint, following: CpuRecords): boolean {
    const next = following.next?.data;
    if (next === undefined) return false;
    const format = this.#texts.format(next);
    if (format?.system !== "ftrace" || format.name !== "funcgraph_exit") return false;
    const isSameTask = this.#contexts.pid(next) === this.#contexts.pid(record.data);
    return isSameTask && this.#call(next).func === func;
  }

  #call(record: Buffer): { func: bigint; depth: number; took: bigint } {
    const byName = this.#texts.format(record)?.byName;
    const of = (field: EventField | undefined): bigint =>
      BigInt.asUintN(64, fieldNumber(record, field));
    const depth = Number(BigInt.asIntN(32, of(byName?.get("depth"))));
    return {
      func: of(byName?.get("func")),
      // A guest's number: no call is deeper than this, and each is an indent.
      depth: Math.max(0, Math.min(depth, 4 * MAX_DEPTH)),
      took: BigInt.asUintN(64, of(byName?.get("rettime")) - of(byName?.get("calltime"))),
    };
  }

  #isInterrupt(func: bigint): boolean {
    return func >= this.#interrupts.start && func < this.#interrupts.end;
  }

  /** How a line begins that tells of an event. */
  #start({ cpu, time }: TraceRecord): string {
    return `${this.#withTimes ? graphTime(time) : ""}${this.#cpu(cpu)}`;
  }

  #cpu(cpu: number): string {
    return ` ${cpu.toString().padStart(this.#cpuWidth)}) `;
  }

  #taskSwitch({ cpu, data }: TraceRecord): string[] {
    const row = this.#row(cpu);
    const before = row.pid;
    const pid = this.#contexts.pid(data);
    row.pid = pid;
    if (before === undefined || before === pid) return [];
    return [RULE, `${this.#cpu(cpu)}${this.#task(before)} => ${this.#task(pid)}`, RULE, ""];
  }

  #task(pid: number): string {
    const shown = `${this.#contexts.cmdlines.name(pid).slice(0, NAME_WIDTH)}-${pid}`;
    const left = Math.max(0, TASK_WIDTH - shown.length) >> 1;
    return (" ".repeat(left) + shown).padEnd(TASK_WIDTH);
  }
}

/** As print_graph_abs_time(). */
function graphTime(nanoseconds: bigint): string {
  const seconds = (nanoseconds / 1_000_000_000n).toString().padStart(5);
  const micros = ((nanoseconds / 1000n) % 1_000_000n).toString().padStart(6, "0");
  return `${seconds}.${micros} |  `;
}

/** As trace_print_graph_duration(): microseconds, as many digits behind the point as there is room for. */
function duration(nanoseconds: bigint): string {
  const mark = MARKS.find(([than]) => nanoseconds > than)?.[1] ?? " ";
  const micros = (nanoseconds / 1000n).toString();
  const rest = (nanoseconds % 1000n).toString().padStart(3, "0");
  // The kernel cuts the fraction so that both have 7 characters.
  const fraction = micros.length < 7 ? `.${rest.slice(0, Math.min(4, 7 - micros.length))}` : "";
  const length = micros.length + fraction.length;
  return `${mark} ${micros}${fraction} us ${" ".repeat(Math.max(0, 8 - length))}|  `;
}
