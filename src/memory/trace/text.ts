import type { Kernel } from "../kernel/index.js";
import type { Contexts } from "./contexts.js";
import { EventTexts } from "./event-text.js";
import type { Events } from "./events.js";
import { GraphLines } from "./graph-text.js";
import type { Clock, Instance } from "./instances.js";
import { merged, type TraceRecord } from "./records.js";
import type { RingBuffer } from "./ring-buffer.js";

const HEADER = [
  "#                                _-----=> irqs-off/BH-disabled",
  "#                               / _----=> need-resched",
  "#                              | / _---=> hardirq/softirq",
  "#                              || / _--=> preempt-depth",
  "#                              ||| / _-=> migrate-disable",
  "#                              |||| /     delay",
  "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
  "#              | |         |   |||||     |         |",
];

/** As trace_print_time(): seconds to the nearest microsecond, or what a clock without a unit has counted. */
export function timeText(time: bigint, { inNanoseconds }: Clock): string {
  if (!inNanoseconds) return ` ${time.toString().padStart(12)}`;
  const microseconds = (time + 500n) / 1000n;
  const seconds = (microseconds / 1_000_000n).toString().padStart(5);
  return ` ${seconds}.${(microseconds % 1_000_000n).toString().padStart(6, "0")}`;
}

/**
 * The lines of a buffer as the file `trace` in tracefs has them, without their ends; latin1, each character a byte.
 * @param graphTimes whether a graph's lines tell when they were.
 */
export function* traceLines(
  kernel: Kernel,
  events: Events,
  contexts: Contexts,
  instance: Instance,
  buffer: RingBuffer,
  graphTimes = false,
): Generator<string, void, void> {
  const texts = new EventTexts(kernel, events, instance);
  const graph =
    instance.tracer === "function_graph"
      ? new GraphLines(kernel, texts, contexts, graphTimes)
      : undefined;
  yield `# tracer: ${instance.tracer}`;
  yield "#";
  if (graph === undefined) {
    yield entriesLine(kernel, buffer);
    yield "#";
    yield* HEADER;
  } else {
    yield* graph.header;
  }
  const isOverrun = buffer.cpus.some(({ overrun }) => overrun > 0n);
  const started = new Set<number>();
  let isFirst = true;
  for (const { record, cpu } of merged(buffer, kernel.notes)) {
    if (record.lost !== undefined) {
      const { count } = record.lost;
      yield `CPU:${record.cpu} [LOST ${count === undefined ? "" : `${count} `}EVENTS]`;
    }
    const lines = graph?.lines(record, cpu);
    if (lines === undefined) {
      // What was before is lost: where a CPU's events begin is told, but for the first of all.
      if (isOverrun && !started.has(record.cpu)) {
        started.add(record.cpu);
        if (!isFirst) yield `##### CPU ${record.cpu} buffer started ####`;
      }
      yield eventLine(record, contexts, instance.clock, texts);
    } else {
      yield* lines;
    }
    isFirst = false;
  }
}

function eventLine(
  { cpu, time, data }: TraceRecord,
  contexts: Contexts,
  clock: Clock,
  texts: EventTexts,
): string {
  const { pid, task, flags } = contexts.of(data);
  const who = `${task.padStart(16)}-${pid.toString().padEnd(7)} [${cpu.toString().padStart(3, "0")}]`;
  return `${who} ${flags}${timeText(time, clock)}: ${texts.text(data)}`;
}

function entriesLine(kernel: Kernel, { cpus }: RingBuffer): string {
  const entries = cpus.reduce((sum, cpu) => sum + cpu.entries, 0n);
  const written = cpus.reduce((sum, cpu) => sum + cpu.entries + cpu.overrun, 0n);
  const online =
    kernel.attempt("the number of CPUs", () =>
      kernel.u32(kernel.expectSymbol("__num_online_cpus")),
    ) ?? kernel.presentCpus.length;
  return `# entries-in-buffer/entries-written: ${entries}/${written}   #P:${online}`;
}
