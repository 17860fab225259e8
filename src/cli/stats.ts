import type { Command } from "commander";
import type { Crash, CrashFacts, GuestEnded } from "../analysis/index.js";
import { END_KINDS, type EndKind, printableJson } from "../records/index.js";
import { addFilterOptions, type CrashFilter } from "./crash-filter.js";
import { CrashesAt } from "./crashes-at.js";
import { tellOthers } from "./nothing-found.js";
import { writeOut } from "./stdout.js";
import { formatTable, terminalWidth } from "./table.js";
import { formatAge } from "./time.js";

interface StatsOptions extends CrashFilter {
  readonly json: boolean;
}

interface Row {
  readonly crash: Crash;
  readonly facts: CrashFacts;
}

/** Crashes that have something in common, oldest first. */
interface Group {
  readonly key: string;
  readonly rows: readonly Row[];
}

export function addStats(program: Command): void {
  const command = program
    .command("stats")
    .summary("count crashes by signature and by guest")
    .description(
      "Counts crashes by signature, the most frequent first, and by guest. Crashes without a signature are counted " +
        "by title in a table of their own: they may be different bugs. BOOTS counts the boots that crashed: an oops " +
        "and its panic are two crashes of one boot. NO DUMP counts how often a guest ended without a dump while its " +
        "driver ran, NO DRIVER how often no driver ever started.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file");
  addFilterOptions(command)
    .option("--json", "print a JSON object", false)
    .action((path: string, options: StatsOptions) => stats(path, options));
}

async function stats(path: string, options: StatsOptions): Promise<void> {
  const at = new CrashesAt(path, options);
  const rows = at.crashes.map((crash) => ({ crash, facts: at.facts(crash) }));
  at.close();
  if (at.isPartial) process.exitCode = 1;
  const isKnown = ({ facts }: Row) => facts.signature !== "";
  const bySignature = group(rows.filter(isKnown), ({ facts }) => facts.signature);
  // Of one title, but nothing tells whether of one bug.
  const withoutSignature = group(
    rows.filter((row) => !isKnown(row)),
    ({ facts }) => facts.title,
  );
  const byGuest = group(rows, ({ crash }) => crash.guest);
  const ends = endsByGuest(at.ends);
  const told = TOLD_ENDS.filter(({ kind }) => [...ends.values()].some((of) => of[kind] > 0));
  const isEmpty = rows.length === 0 && told.length === 0;
  const isTold = isEmpty && tellOthers(path, at.records, options);
  // A guest without a driver leaves no crash.
  const crashless = [...ends.keys()].filter((guest) => byGuest.every(({ key }) => key !== guest));
  if (options.json) {
    const counts = {
      bySignature: bySignature.map((one) => {
        const { signature, title, kind } = newest(one).facts;
        return { signature, title, kind, guests: guestsOf(one), ...countsOf(one) };
      }),
      withoutSignature: withoutSignature.map((one) => {
        const { title, kind } = newest(one).facts;
        return { title, kind, guests: guestsOf(one), ...countsOf(one) };
      }),
      byGuest: [
        ...byGuest.map((one) => ({ guest: one.key, ...countsOf(one), ends: ends.get(one.key) })),
        ...crashless.map((guest) => ({ guest, ...NO_CRASH, ends: ends.get(guest) })),
      ],
    };
    await writeOut(`${printableJson(counts, 2)}\n`);
    return;
  }
  if (isTold) return;
  const signatures = [
    ["CRASHES", "BOOTS", "GUESTS", "NEWEST", "SIGNATURE", "TITLE"],
    ...bySignature.map((one) => {
      const { signature, title } = newest(one).facts;
      return [...cells(one), signature, title];
    }),
  ];
  const others = [
    ["CRASHES", "BOOTS", "GUESTS", "NEWEST", "NO SIGNATURE: MAY BE DIFFERENT BUGS"],
    ...withoutSignature.map((one) => [...cells(one), one.key]),
  ];
  const isTellable = (guest: string) => told.some(({ kind }) => (ends.get(guest)?.[kind] ?? 0) > 0);
  const endCells = (guest: string) => told.map(({ kind }) => `${ends.get(guest)?.[kind] ?? 0}`);
  const guests = [
    ["CRASHES", "BOOTS", "NEWEST", ...told.map(({ column }) => column), "GUEST"],
    ...byGuest.map((one) => {
      const { crashes, boots } = countsOf(one);
      const age = formatAge(newest(one).crash.dump.time);
      return [`${crashes}`, `${boots}`, age, ...endCells(one.key), one.key];
    }),
    ...crashless.filter(isTellable).map((guest) => ["0", "0", "-", ...endCells(guest), guest]),
  ];
  const tables =
    withoutSignature.length === 0 ? [signatures, guests] : [signatures, others, guests];
  const width = terminalWidth();
  await writeOut(tables.map((table) => formatTable(table, width)).join("\n"));
}

/** Of what is kept, which is bounded. */
type EndCounts = Record<EndKind, number>;

/** The kinds of ends that an operator has to look into. */
const TOLD_ENDS: readonly { readonly kind: EndKind; readonly column: string }[] = [
  { kind: "without-dump", column: "NO DUMP" },
  { kind: "no-driver", column: "NO DRIVER" },
];

const NO_CRASH = { crashes: 0, boots: 0 };

function endsByGuest(ends: readonly GuestEnded[]): Map<string, EndCounts> {
  const counts = new Map<string, EndCounts>();
  for (const { guest, kind } of ends) {
    const none = Object.fromEntries(END_KINDS.map((one) => [one, 0])) as EndCounts;
    const of = counts.get(guest) ?? none;
    of[kind]++;
    counts.set(guest, of);
  }
  return counts;
}

function cells(group: Group): string[] {
  const { crashes, boots } = countsOf(group);
  const age = formatAge(newest(group).crash.dump.time);
  return [`${crashes}`, `${boots}`, `${guestsOf(group).length}`, age];
}

function group(rows: readonly Row[], keyOf: (row: Row) => string): Group[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const there = groups.get(key);
    if (there === undefined) groups.set(key, [row]);
    else there.push(row);
  }
  return [...groups]
    .map(([key, of]) => ({ key, rows: of }))
    .sort((a, b) => b.rows.length - a.rows.length);
}

function newest({ rows }: Group): Row {
  const last = rows.at(-1);
  if (last === undefined) throw new RangeError("a group without crashes");
  return last;
}

const guestsOf = ({ rows }: Group): string[] =>
  [...new Set(rows.map(({ crash }) => crash.guest))].sort();

function countsOf({ rows }: Group) {
  const crashes = rows.map(({ crash }) => crash);
  const times = crashes.map(({ dump }) => dump.time.toISOString());
  return {
    crashes: rows.length,
    // Where a driver doesn't tell its boot, each crash counts as one of its own.
    boots: new Set(crashes.map(({ guest, name, dump }) => `${guest}/${dump.boot ?? name}`)).size,
    first: times[0],
    last: times.at(-1),
  };
}
