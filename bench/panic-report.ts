import { availableParallelism, cpus } from "node:os";
import { summarize } from "./statistics.js";
import {
  CONSOLE,
  ERST,
  FORMATTING,
  LOG,
  NO_CONSOLE,
  NULL_CONSOLE,
  RAW,
  SERIAL,
  STORM,
  TEXT_8,
  type Way,
  ways,
} from "./ways.js";

/** One boot's time. */
export interface Measurement {
  readonly round: number;
  readonly group: string;
  readonly name: string;
  readonly milliseconds: number;
}

interface Goal {
  readonly what: string;
  readonly group: string;
  /** `ratio` is how many times as long as `of` this takes. */
  readonly way: string;
  readonly of: string;
  /** At least, or else at most, `limit`. */
  readonly atLeast: boolean;
  readonly limit: number;
}

const goals: readonly Goal[] = [
  {
    what: "raw dump ÷ formatting the log once",
    group: LOG,
    way: RAW,
    of: FORMATTING,
    atLeast: false,
    limit: 1.3,
  },
  { what: "ERST ÷ raw dump", group: LOG, way: ERST, of: RAW, atLeast: true, limit: 15 },
  {
    what: "8 MB: ttyS0 ÷ our console",
    group: TEXT_8,
    way: SERIAL,
    of: CONSOLE,
    atLeast: true,
    limit: 20,
  },
  {
    what: "8 MB: our console ÷ one that does nothing",
    group: TEXT_8,
    way: CONSOLE,
    of: NULL_CONSOLE,
    atLeast: false,
    limit: 1.3,
  },
  {
    what: "storm: our console ÷ one that does nothing",
    group: STORM,
    way: CONSOLE,
    of: NULL_CONSOLE,
    atLeast: false,
    limit: 1.1,
  },
];

/** What a ratio of `goals` is bounded by, whatever our console does. */
const serialBound = { group: TEXT_8, way: SERIAL, of: NO_CONSOLE };

const median = (numbers: readonly number[]): number => summarize(numbers).median;

/** By round. */
function timesOf(all: readonly Measurement[], group: string, name: string): Map<number, number> {
  const own = all.filter((one) => one.group === group && one.name === name);
  return new Map(own.map(({ round, milliseconds }) => [round, milliseconds]));
}

/** Each round's own ratio, and their median: a machine whose speed drifts changes both times. */
function ratio(
  all: readonly Measurement[],
  { group, way, of }: Pick<Goal, "group" | "way" | "of">,
): number | undefined {
  const bases = timesOf(all, group, of);
  const ratios = [...timesOf(all, group, way)].flatMap(([round, time]) => {
    const base = bases.get(round);
    return base === undefined ? [] : [time / base];
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

/** How a way was set up, in the words of the command lines. */
function setUp({ append, serial, qemu, modules, driver, device, pstoreMount, crash }: Way): string {
  return [
    ...(qemu === undefined ? [] : [`qemu ${qemu("").join(" ")}`]),
    `kernel ${serial === true ? "console=ttyS0 " : ""}${append}`,
    ...(modules ?? []).map((module) => `insmod ${module}`),
    ...(driver === undefined ? [] : [`insmod virtio_pstore ${driver}`]),
    ...(device === undefined ? [] : [`virtio-pstore run ${device.join(" ")}`]),
    ...(pstoreMount === undefined ? [] : [`mount -t pstore -o ${pstoreMount}`]),
    `insmod crash ${crash}`,
  ].join("; ");
}

const fixed = (n: number): string => n.toFixed(n < 100 ? 1 : 0);
const times = (n: number | undefined): string =>
  n === undefined ? "–" : n.toFixed(n < 10 ? 2 : 1);

function markdown(rows: readonly (readonly string[])[]): string {
  const [head = [], ...rest] = rows;
  const rule = head.map((_, i) => (i === 0 ? "---" : "--:"));
  return [head, rule, ...rest].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export interface ReportOptions {
  readonly kernel: string;
  readonly rounds: number;
  readonly json: boolean;
}

/** All results, as Markdown or JSON. */
export function report(all: readonly Measurement[], options: ReportOptions): string {
  const { kernel, rounds, json } = options;
  const rows = [...new Set(all.map(({ group, name }) => JSON.stringify([group, name])))].map(
    (pair) => {
      const [group = "", name = ""] = JSON.parse(pair) as string[];
      const own = [...timesOf(all, group, name).values()];
      const ours = group === LOG ? RAW : CONSOLE;
      return {
        group,
        way: name,
        rounds: own.length,
        medianMs: median(own),
        leastMs: Math.min(...own),
        mostMs: Math.max(...own),
        timesOurs: ratio(all, { group, way: name, of: ours }),
      };
    },
  );
  const reached = goals.flatMap((goal) => {
    const found = ratio(all, goal);
    if (found === undefined) return [];
    const met = goal.atLeast ? found >= goal.limit : found <= goal.limit;
    return [{ ...goal, ratio: found, met }];
  });
  const bound = ratio(all, serialBound);
  const machine = `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "unknown"}`;
  if (json) {
    return JSON.stringify(
      { kernel, machine, rounds, results: rows, goals: reached, serialBound: bound },
      null,
      2,
    );
  }
  const groups = [...new Set(rows.map(({ group }) => group))];
  return [
    `Linux ${kernel} in QEMU under pure emulation (TCG), 1 vCPU; host: ${machine}. Median of ${rounds} interleaved`,
    "rounds, in milliseconds; ratios are medians of the rounds' own. The same numbered lines of 100 bytes each way,",
    "and every line's arrival on the host checked. At panic: from the first panic notifier to the end of",
    "kmsg_dump(), by the guest's clock; a storm: the printing task's own time.",
    ...groups.flatMap((group) => [
      "",
      markdown([
        [group, "median", "least", "most", "times ours"],
        ...rows
          .filter((row) => row.group === group)
          .map(({ way, rounds: own, medianMs, leastMs, mostMs, timesOurs }) => [
            own === rounds ? way : `${way} (${own} of ${rounds} rounds)`,
            ...[medianMs, leastMs, mostMs].map(fixed),
            times(timesOurs),
          ]),
      ]),
    ]),
    ...(reached.length === 0
      ? []
      : [
          "",
          markdown([
            ["ratio", "measured", "goal", ""],
            ...reached.map(({ what, ratio, atLeast, limit, met }) => [
              what,
              times(ratio),
              `${atLeast ? "≥" : "≤"} ${limit}`,
              met ? "reached" : "missed",
            ]),
            ...(bound === undefined
              ? []
              : [
                  [
                    "8 MB: ttyS0 ÷ printk to no console: the most that is possible here",
                    times(bound),
                    "",
                    "",
                  ],
                ]),
          ]),
        ]),
    "",
    "How each was set up:",
    ...groups.flatMap((group) => [
      "",
      `${group}:`,
      ...ways
        .filter(
          (way) =>
            way.group === group && rows.some((row) => row.group === group && row.way === way.name),
        )
        .map((way) => `- ${way.name}: ${setUp(way)}`),
    ]),
  ].join("\n");
}
