import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { type RingBuffer, readRingBuffer } from "./ring-buffer.js";

/** A trace_array: the global one, or one below instances/ in tracefs. */
export interface Instance {
  /** Undefined for the global one. */
  readonly name: string | undefined;
  /** current_tracer. */
  readonly tracer: string;
  readonly clock: Clock;
  /** Whether it is being written to. */
  readonly isOn: boolean;
  /** The options that are set, as `trace_options` names them with capitals and underlines (enum trace_iterator_flags). */
  hasOption(name: string): boolean;
  /** Copies its buffer as it is now, of a large one the newest `mostBytes`. Throws MemoryError. */
  buffer(mostBytes?: number): RingBuffer;
  /** Copies its snapshot; undefined where it has none. Throws MemoryError. */
  snapshot(): RingBuffer | undefined;
}

export interface Clock {
  /** As trace_clock names it. */
  readonly name: string;
  /** It counts nanoseconds; else it has no unit. */
  readonly inNanoseconds: boolean;
}

/** A guest may make as many as it has memory for. */
const MAX_INSTANCES = 1000;
const MAX_NAME = 256;

/** The clocks' functions (kernel/trace/trace.c, trace_clocks), which the buffer points to. */
const CLOCKS: Readonly<Record<string, readonly [name: string, inNanoseconds: boolean]>> = {
  trace_clock_local: ["local", true],
  trace_clock_global: ["global", true],
  trace_clock_counter: ["counter", false],
  trace_clock_jiffies: ["uptime", false],
  trace_clock: ["perf", true],
  ktime_get_mono_fast_ns: ["mono", true],
  ktime_get_raw_fast_ns: ["mono_raw", true],
  ktime_get_boot_fast_ns: ["boot", true],
  ktime_get_tai_fast_ns: ["tai", true],
  trace_clock_x86_tsc: ["x86-tsc", false],
};

/** Clocks as trace_clock names them. */
export const CLOCK_NAMES: readonly string[] = Object.values(CLOCKS).map(([name]) => name);

/** Every instance, the global one first. Throws MemoryError where the kernel has no ftrace, or doesn't describe it. */
export function readInstances(kernel: Kernel): Instance[] {
  const found: Instance[] = [];
  const head = kernel.expectSymbol("ftrace_trace_arrays");
  for (const one of kernel.list(head, "trace_array", "list")) {
    if (found.length === MAX_INSTANCES) {
      kernel.notes.add(`trace: the instances after ${MAX_INSTANCES} are left out`);
      break;
    }
    const instance = kernel.attempt("an instance", () => readInstance(kernel, one));
    if (instance !== undefined) found.push(instance);
  }
  return found.sort((a, b) => Number(a.name !== undefined) - Number(b.name !== undefined));
}

function readInstance(kernel: Kernel, array: Struct): Instance {
  const address = array.pointer("name");
  const name = address === 0n ? undefined : kernel.text(address, MAX_NAME);
  const what = name === undefined ? "the global instance" : `instance ${name}`;
  const buffer = array.struct("array_buffer").follow("buffer");
  if (buffer === undefined) throw new MemoryError("DAMAGED", `${what} has no buffer`);
  const tracer = array.follow("current_trace")?.pointer("name") ?? 0n;
  const flags = array.u64("trace_flags");
  // Linux 6.19 renamed the buffer of snapshots.
  const spare = ["snapshot_buffer", "max_buffer"].find((member) => array.has(member));
  return {
    name,
    tracer: tracer === 0n ? "nop" : kernel.text(tracer, MAX_NAME),
    clock: clockOf(kernel, buffer),
    isOn: buffer.number("record_disabled") === 0,
    hasOption: (option) => isSet(kernel, flags, option),
    buffer: (mostBytes) => readRingBuffer(kernel, buffer, mostBytes),
    snapshot: () => {
      const allocated = array.has("allocated_snapshot") && array.number("allocated_snapshot") !== 0;
      const other =
        spare === undefined || !allocated ? undefined : array.struct(spare).follow("buffer");
      return other && readRingBuffer(kernel, other);
    },
  };
}

function clockOf(kernel: Kernel, buffer: Struct): Clock {
  const at = kernel.symbols?.at(buffer.pointer("clock"));
  const [name, inNanoseconds] = CLOCKS[at?.name ?? ""] ?? [at?.name ?? "local", true];
  return { name, inNanoseconds };
}

/** Newer kernels have more than 32 options, and only their bits' numbers as an enum. */
function isSet(kernel: Kernel, flags: bigint, option: string): boolean {
  const bit = kernel.expectTypes().enum("trace_iterator_bits")?.get(`TRACE_ITER_${option}_BIT`);
  return bit !== undefined && ((flags >> bit) & 1n) === 1n;
}
