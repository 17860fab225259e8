import { linePieces } from "../../records/pieces.js";
import { printable, printableJson } from "../../records/printable.js";
import { parseTraceLine, type TraceLine } from "./parse.js";

/** The guest. Perfetto takes process and thread 0 for its own idle ones. */
const PID = 1;
const tidOf = (cpu: number): number => cpu + 1;

/** Deeper than the kernel's own stack of calls (FTRACE_RETFUNC_DEPTH, 50): an end to what a guest can open. */
const MAX_DEPTH = 200;

/** What a trace was made of. */
export interface ChromeCounts {
  /** Lines that weren't understood, and are left out. */
  skipped: number;
  /** Whether a line told how long a call took but not when it was. */
  untimed: boolean;
  /** Whether its clock has no unit: a nanosecond stands for each of its counts. */
  counted: boolean;
}

/** A CPU's row. Times are in nanoseconds, whole numbers, so that what is added up stays exact. */
interface Row {
  readonly tid: number;
  /** When the last event was: no later line is before it. */
  now: number;
  /** The calls that haven't ended, and when they began. */
  readonly open: { readonly name: string; readonly began: number }[];
  /** Events that were lost before the next one. */
  lost: { readonly count?: number } | undefined;
}

/**
 * A trace's text as a Chrome JSON trace ("Trace Event Format", the object form), in pieces: a row for each CPU,
 * calls as its slices, all else as instants. Without times of its own a graph's row begins at 0 and
 * holds what its calls took; what the CPU did between them isn't told.
 *
 * A call is a begin and an end of its name, also one that calls nothing: a viewer that added a duration to a
 * time would not always get the time at which the next one begins.
 */
export function* chromeTrace(
  text: Iterable<Uint8Array>,
  guest: string,
  counts: ChromeCounts,
): Generator<string, void, void> {
  const rows = new Map<number, Row>();
  yield `{"displayTimeUnit":"ns","traceEvents":[\n${metadata(0, "process_name", { name: guest })}`;
  for (const piece of linePieces(text)) {
    const events = printable(piece)
      .replace(/\n$/, "")
      .split("\n")
      .flatMap((line) => eventsOf(line, rows, counts));
    if (events.length > 0) yield `,\n${events.join(",\n")}`;
  }
  const ends = [...rows.values()].flatMap((row) => [...lostOf(row), ...closeAll(row)]);
  if (ends.length > 0) yield `,\n${ends.join(",\n")}`;
  if (counts.counted) {
    yield `,\n${metadata(0, "process_labels", { labels: "1 ns is 1 count of the trace's clock" })}`;
  }
  yield "\n]}\n";
}

function eventsOf(line: string, rows: Map<number, Row>, counts: ChromeCounts): string[] {
  const parsed = parseTraceLine(line);
  if (parsed === undefined) counts.skipped++;
  if (parsed === undefined || parsed.kind === "nothing") return [];
  const { cpu } = parsed;
  let row = rows.get(cpu);
  const events: string[] = [];
  if (row === undefined) {
    row = { tid: tidOf(cpu), now: 0, open: [], lost: undefined };
    rows.set(cpu, row);
    events.push(
      metadata(row.tid, "thread_name", { name: `CPU ${cpu}` }),
      metadata(row.tid, "thread_sort_index", { sort_index: cpu }),
    );
  }
  if (parsed.kind === "lost") {
    row.lost = parsed.count === undefined ? {} : { count: parsed.count };
    // Their ends may be among what was lost.
    return [...events, ...closeAll(row)];
  }
  const isCount = parsed.kind === "event" && parsed.isCount === true;
  counts.counted ||= isCount;
  if ("us" in parsed && parsed.us !== undefined) {
    row.now = Math.max(row.now, isCount ? parsed.us : parsed.us * 1000);
  }
  if ("lasted" in parsed && parsed.lasted !== undefined && parsed.us === undefined) {
    counts.untimed = true;
  }
  return [...events, ...lostOf(row), ...append(row, parsed)];
}

type Happened = Exclude<TraceLine, { readonly kind: "lost" | "nothing" }>;

function append(row: Row, line: Happened): string[] {
  switch (line.kind) {
    case "event":
      return [instant(row, line.name, line.args)];
    case "switch":
      return [...closeAll(row), instant(row, `=> ${line.to}`, {})];
    case "enter":
      if (row.open.length === MAX_DEPTH) return [instant(row, line.name, {})];
      row.open.push({ name: line.name, began: row.now });
      return [event(row, "B", { name: line.name })];
    case "leaf": {
      const { name } = line;
      const begin = event(row, "B", { name });
      row.now += nanoseconds(line.lasted ?? 0);
      return [begin, event(row, "E", { name })];
    }
    case "leave": {
      const call = row.open.pop();
      if (call === undefined) {
        // It began before the trace did.
        const took = line.lasted === undefined ? {} : { lasted_us: line.lasted };
        return [instant(row, `} ${line.name}`.trim(), took)];
      }
      if (line.us === undefined && line.lasted !== undefined) {
        row.now = Math.max(row.now, call.began + nanoseconds(line.lasted));
      }
      return [event(row, "E", { name: call.name })];
    }
  }
}

const nanoseconds = (us: number): number => Math.round(us * 1000);

function closeAll(row: Row): string[] {
  return row.open
    .splice(0)
    .reverse()
    .map(({ name }) => event(row, "E", { name }));
}

function lostOf(row: Row): string[] {
  const { lost } = row;
  row.lost = undefined;
  return lost === undefined ? [] : [instant(row, "LOST EVENTS", lost)];
}

const instant = (row: Row, name: string, args: object): string =>
  event(row, "i", { s: "t", name, args });

const event = ({ tid, now }: Row, ph: string, more: object): string =>
  printableJson({ ph, pid: PID, tid, ts: now / 1000, ...more });

const metadata = (tid: number, name: string, args: object): string =>
  printableJson({ ph: "M", pid: PID, tid, ts: 0, name, args });
