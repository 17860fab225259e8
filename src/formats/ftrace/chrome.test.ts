import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChromeCounts, chromeTrace } from "./chrome.js";

interface TraceEvent {
  readonly ph: "B" | "E" | "i" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly name: string;
  readonly s?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

function traced(text: string | Uint8Array) {
  const counts: ChromeCounts = { skipped: 0, untimed: false, counted: false };
  const json = [...chromeTrace([Buffer.from(text)], "web", counts)].join("");
  return { ...counts, events: (JSON.parse(json) as { traceEvents: TraceEvent[] }).traceEvents };
}

/** Traces of real guests, Linux 6.12 with two CPUs, cut to what is looked at. */
const fixture = (name: string) =>
  readFileSync(new URL(`./fixtures/${name}.txt`, import.meta.url), "utf8");

/** The rules of "Trace Event Format" for the events that are used. */
function expectRules(events: readonly TraceEvent[]): void {
  const rows = new Map<number, { ts: number; open: string[] }>();
  const named = new Set<number>();
  expect(events[0]).toMatchObject({ ph: "M", name: "process_name" });
  for (const { ph, pid, tid, ts, name, s } of events) {
    expect([pid, Number.isInteger(tid), Number.isFinite(ts)]).toEqual([1, true, true]);
    if (ph === "M") {
      if (name === "thread_name") named.add(tid);
      continue;
    }
    const row = rows.get(tid) ?? { ts: 0, open: [] };
    rows.set(tid, row);
    expect(ts).toBeGreaterThanOrEqual(row.ts);
    row.ts = ts;
    expect(name).toBeTypeOf("string");
    if (ph === "E") expect(name).toBe(row.open.pop());
    if (ph === "B") row.open.push(name);
    if (ph === "i") expect(s).toBe("t");
  }
  expect([...rows.keys()].filter((tid) => !named.has(tid))).toEqual([]);
  expect([...rows.values()].filter(({ open }) => open.length !== 0)).toEqual([]);
}

describe("a real trace keeps to the format's rules, and every line is understood", () => {
  test.each([
    ["events", "i", false, false],
    ["counter", "i", false, true],
    ["function", "i", false, false],
    ["graph", "B", true, false],
    ["graph-abstime", "B", false, false],
  ])("%s", (name, ph, untimed, counted) => {
    const made = traced(fixture(name));
    expectRules(made.events);
    expect(made).toMatchObject({ skipped: 0, untimed, counted });
    const rows = made.events.filter((one) => one.name === "thread_name");
    expect(rows.map(({ args }) => args?.name).sort()).toEqual(["CPU 0", "CPU 1"]);
    expect(made.events.filter((one) => one.ph === ph).length).toBeGreaterThan(10);
  });
});

test("events, marks and calls: their time, task and text", () => {
  const { events } = traced(fixture("events"));
  expect(events).toContainEqual({
    ...{ ph: "i", pid: 1, tid: 1, ts: 7130970, s: "t", name: "tracing_mark_write" },
    args: { task: "sh", pid: 135, flags: ".....", text: "before the end" },
  });
  const calls = traced(fixture("function")).events;
  expect(calls).toContainEqual({
    ...{ ph: "i", pid: 1, tid: 2, ts: 732509, s: "t", name: "vfs_open" },
    args: { task: "ls", pid: 158, flags: ".....", caller: "path_openat" },
  });
  const lost = calls.filter(({ name }) => name === "LOST EVENTS");
  expect(lost.map(({ tid, args }) => [tid, args?.count])).toEqual([
    [2, 870],
    [1, 1160],
  ]);
  expect(lost[0]?.ts).toBe(732509);
});

test("the lines of tracefs's trace are understood as those of a dump", () => {
  const text = [
    "# tracer: nop",
    "##### CPU 1 buffer started ####",
    "          <idle>-0       [001] d.h1.     4.360067: softirq_raise: vec=7 [action=SCHED]",
    "              sh-135     [000] .....      7130970: vfs_open <-path_openat",
  ].join("\n");
  const { events, skipped } = traced(text);
  expectRules(events);
  expect(skipped).toBe(0);
  expect(events).toContainEqual({
    ...{ ph: "i", pid: 1, tid: 2, ts: 4360067, s: "t", name: "softirq_raise" },
    args: { task: "<idle>", pid: 0, flags: "d.h1.", text: "vec=7 [action=SCHED]" },
  });
  expect(traced(text.split("\n")[3] ?? "").counted).toBe(true);
});

test("a clock without a unit: its counts stand for nanoseconds, and the trace says so", () => {
  const text = [
    "      sh-135       0..... 7130970: tracing_mark_write: before the end",
    "      ls-158       1d..1. 987654321098765: vfs_open <-path_openat",
  ].join("\n");
  const { events, skipped, counted } = traced(text);
  expectRules(events);
  expect({ skipped, counted }).toEqual({ skipped: 0, counted: true });
  expect(events).toContainEqual({
    ...{ ph: "i", pid: 1, tid: 1, ts: 7130.97, s: "t", name: "tracing_mark_write" },
    args: { task: "sh", pid: 135, flags: ".....", text: "before the end" },
  });
  expect(events.find(({ name }) => name === "vfs_open")?.ts).toBe(987654321098.765);
  const labels = { labels: "1 ns is 1 count of the trace's clock" };
  expect(events.at(-1)).toMatchObject({ ph: "M", name: "process_labels", args: labels });
});

test("a graph: calls nest by their durations, or by their times where they are told", () => {
  const text = [
    "CPU:0 [LOST 3 EVENTS]",
    " 0) + 12.499 us   |  } /* complete_walk */",
    " 0)               |  outer() {",
    " 0)   1.500 us    |    inner [module]();",
    " 0)               |    /* a mark */",
    " 0) ! 120.250 us  |  }",
    " 0)   1.000 us    |  after();",
    " 0)               |  unended() {",
    "    6.000100 |   1)    <idle>-0    |   2.000 us    |  timed();",
    "    6.000200 |   1)    <idle>-0    |               |  timed2() {",
    "    6.000290 |   1)    <idle>-0    | + 90.000 us   |  } /* timed2 */",
  ].join("\n");
  const { events, skipped } = traced(text);
  expectRules(events);
  expect(skipped).toBe(0);
  const told = events
    .filter(({ ph }) => ph !== "M")
    .map(({ tid, ph, ts, name }) => [tid, ph, ts, name]);
  expect(told).toEqual([
    [1, "i", 0, "LOST EVENTS"],
    [1, "i", 0, "} complete_walk"],
    [1, "B", 0, "outer"],
    [1, "B", 0, "inner [module]"],
    [1, "E", 1.5, "inner [module]"],
    [1, "i", 1.5, "a mark"],
    [1, "E", 120.25, "outer"],
    [1, "B", 120.25, "after"],
    [1, "E", 121.25, "after"],
    [1, "B", 121.25, "unended"],
    [2, "B", 6000100, "timed"],
    [2, "E", 6000102, "timed"],
    [2, "B", 6000200, "timed2"],
    [2, "E", 6000290, "timed2"],
    [1, "E", 121.25, "unended"],
  ]);
});

test("a call with its arguments, what it returned and to where", () => {
  const text = [
    " 0)               |  outer [mod](dev=0x1, f=(null)) { /* <-caller+0x1/0x2 */",
    " 0)   0.500 us    |    inner(a=1); /* <-outer+0x1/0x2 ret=0x0 */",
    " 0)   0.500 us    |    last(); /* = -22 */",
    " 0)   2.000 us    |  } /* outer [mod] ret=0x0 */",
  ].join("\n");
  const { events, skipped } = traced(text);
  expect(skipped).toBe(0);
  expect(events.filter(({ ph }) => ph === "B").map(({ name }) => name)).toEqual([
    "outer [mod]",
    "inner",
    "last",
  ]);
});

test("a line that could be parted in many ways is read at once", () => {
  const line = ` 1) | a${"(".repeat(600)}${"); /*".repeat(250)}x`;
  const lines = Array<string>(1000).fill(line);
  expect(traced(lines.join("\n")).skipped).toBe(lines.length);
});

test("what isn't understood is counted", () => {
  expect(traced("no line of a trace\n => a frame\n").skipped).toBe(2);
});

test("any lines, in any order, keep to the rules", () => {
  const real = ["events", "counter", "function", "graph", "graph-abstime"].flatMap((name) =>
    fixture(name).split("\n"),
  );
  const line = fc.oneof(fc.constantFrom(...real), fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 60 }), (lines) => {
      expectRules(traced(lines.join("\n")).events);
    }),
    { numRuns: 200 },
  );
});
