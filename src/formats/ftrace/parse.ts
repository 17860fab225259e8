/**
 * What a line of ftrace_dump() says (kernel/trace/trace_output.c, trace_functions_graph.c). Times are in
 * microseconds since tracing began; a graph's line has one only with the option funcgraph-abstime.
 */
export type TraceLine =
  /** An event, a mark, or a call as the function tracer tells it. */
  | {
      readonly kind: "event";
      readonly cpu: number;
      readonly us: number | undefined;
      /** The trace's clock has no unit, as `counter` and `x86-tsc`: `us` is what it counted. */
      readonly isCount?: boolean;
      readonly name: string;
      readonly args: Readonly<Record<string, string | number>>;
    }
  /** The function graph tracer's: a call that others are in, its end, and a call without any. */
  | { readonly kind: "enter"; readonly cpu: number; readonly us: number | undefined; name: string }
  | ({ readonly kind: "leave"; readonly cpu: number; readonly us: number | undefined } & Lasted)
  | ({ readonly kind: "leaf"; readonly cpu: number; readonly us: number | undefined } & Lasted)
  /** Another task runs on that CPU: the calls that follow are its. */
  | { readonly kind: "switch"; readonly cpu: number; readonly to: string }
  /** Events were overwritten before they were read. */
  | { readonly kind: "lost"; readonly cpu: number; readonly count: number | undefined }
  /** A heading or a rule. */
  | { readonly kind: "nothing" };

interface Lasted {
  /** Of a leave it may be empty: its enter told it. */
  readonly name: string;
  /** In microseconds; undefined with the option nofuncgraph-duration. */
  readonly lasted: number | undefined;
}

/** The kernel prints at most 1000 bytes of a line; a longer one isn't its. */
const MAX_LINE = 2000;

/** Linux's largest NR_CPUS. */
const MAX_CPU = 8191;

/**
 * `TASK-PID CPU FLAGS TIMEus : TEXT`; a task's name has at most 15 bytes, each escaped as \xNN at most. Where the
 * clock doesn't count nanoseconds it is `COUNT: TEXT` (lat_print_timestamp).
 */
const EVENT =
  /^ {0,16}(.{1,60})-(\d{1,10}) {1,16}(\d{1,4})([^\d\s]\S{2,7}) {1,20}(\d{1,18})(us.?)?: (.*)$/;

/** The same as the file `trace` in tracefs has it: `TASK-PID [CPU] FLAGS SECONDS.MICROS: TEXT`, or a clock's count. */
const TRACEFS =
  /^ {0,16}(.{1,60})-(\d{1,10}) {1,16}\[(\d{1,4})\] ([^\d\s]\S{2,7}) {1,20}(?:(\d{1,9})\.(\d{6})|(\d{1,18})): (.*)$/;

/** `TIME | CPU) TASK-PID | FLAGS | DURATION | TEXT`, all but CPU and TEXT where it is asked for. */
const GRAPH =
  /^ {0,16}(?:(\d{1,9}\.\d{6}) \| {1,4})?(\d{1,4})\) (?: {0,16}(.{1,60}?)-(\d{1,10}) {0,16}\| )?(?: {0,4}([^\s|]{4,8}) {0,4}\| )?([ !+#*@$]{0,4}) {0,16}(?:(\d{1,12}(?:\.\d{1,3})?) us)? {0,20}(?:([=<>]{11}) )?\| {0,2}(.*)$/;

const SWITCH =
  /^ {0,4}(\d{1,4})\) {1,16}(.{1,60}-\d{1,10}) {1,16}=> {1,16}(.{1,60}-\d{1,10}) {0,16}$/;

const LOST = /^CPU:(\d{1,4}) \[LOST (?:(\d{1,20}) )?EVENTS\]$/;

const NOTHING =
  /^(?:Dumping ftrace buffer:|##### CPU \d{1,4} buffer started ####| ?-{20,60}| {1,4}\(ftrace buffer empty\)|#.*| *)$/;

const CALL = /^(\S{1,300}(?: \[[\w-]{1,64}\])?) <-(\S.*)$/;

/** A line without its end, printable; undefined where it isn't understood. */
export function parseTraceLine(line: string): TraceLine | undefined {
  if (line.length > MAX_LINE) return undefined;
  const parsed = parse(line);
  return parsed !== undefined && "cpu" in parsed && parsed.cpu > MAX_CPU ? undefined : parsed;
}

function parse(line: string): TraceLine | undefined {
  if (NOTHING.test(line)) return { kind: "nothing" };
  const lost = LOST.exec(line);
  if (lost !== null) {
    const count = lost[2] === undefined ? undefined : Number(lost[2]);
    return { kind: "lost", cpu: Number(lost[1]), count };
  }
  const event = EVENT.exec(line);
  if (event !== null) {
    const [, task = "", pid, cpu, flags = "", time, unit, text = ""] = event;
    const of = { task, pid: Number(pid), flags };
    const at = { cpu: Number(cpu), us: Number(time), isCount: unit === undefined };
    return { kind: "event", ...at, ...named(text, of) };
  }
  const tracefs = TRACEFS.exec(line);
  if (tracefs !== null) {
    const [, task = "", pid, cpu, flags = "", seconds, micros = "", count, text = ""] = tracefs;
    const of = { task, pid: Number(pid), flags };
    const isCount = count !== undefined;
    const us = Number(isCount ? count : `${seconds}${micros}`);
    return { kind: "event", cpu: Number(cpu), us, isCount, ...named(text, of) };
  }
  const to = SWITCH.exec(line);
  if (to !== null) return { kind: "switch", cpu: Number(to[1]), to: to[3] ?? "" };
  const graph = GRAPH.exec(line);
  return graph === null ? undefined : graphLine(graph);
}

/** `NAME: TEXT` is an event or a mark, `FUNCTION <-CALLER` a call. */
function named(text: string, of: Readonly<Record<string, string | number>>) {
  const [, name, rest] = /^([\w.]{1,200}): ?(.*)$/.exec(text) ?? [];
  if (name !== undefined) return { name, args: { ...of, text: rest ?? "" } };
  const [, call, caller] = CALL.exec(text) ?? [];
  return call === undefined
    ? { name: text, args: of }
    : { name: call, args: { ...of, caller: caller ?? "" } };
}

function graphLine(match: RegExpExecArray): TraceLine | undefined {
  const [, time, cpuText, task, pid, flags, , duration, arrow, rest = ""] = match;
  const cpu = Number(cpuText);
  const us = time === undefined ? undefined : Number(time.replace(".", ""));
  const of = {
    ...(task === undefined ? {} : { task, pid: Number(pid) }),
    ...(flags === undefined ? {} : { flags }),
  };
  if (arrow !== undefined) {
    return {
      kind: "event",
      cpu,
      us,
      name: arrow.startsWith("=") ? "irq_entry" : "irq_exit",
      args: of,
    };
  }
  const text = rest.trim();
  const at = { cpu, us, lasted: duration === undefined ? undefined : Number(duration) };
  const comment = /^\/\* (.*) \*\/$/.exec(text)?.[1];
  if (comment !== undefined) return { kind: "event", cpu, us, ...named(comment, of) };
  // The function's name, or with funcgraph-retval what it returned, or both.
  const left = /^\}(?: \/\* (.*) \*\/)?$/.exec(text);
  if (left !== null) return { kind: "leave", ...at, name: left[1] ?? "" };
  // With funcgraph-retval and funcgraph-retaddr what it returned, and to where, is behind the call.
  const returned = text.endsWith(" */") ? text.lastIndexOf(" /*") : -1;
  const call = returned < 0 ? text : text.slice(0, returned);
  const called = /^([^(]+)\(.*\)( \{|;)$/.exec(call);
  if (called === null) return undefined;
  const name = called[1] ?? "";
  return called[2] === ";" ? { kind: "leaf", ...at, name } : { kind: "enter", cpu, us, name };
}
