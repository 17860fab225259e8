import { type Command, Option } from "commander";
import { type Crash, type CrashFacts, missingParts } from "../analysis/index.js";
import { printableJson } from "../records/index.js";
import { fullName } from "../service/names.js";
import { formatSize } from "../service/size.js";
import { addFilterOptions, type CrashFilter } from "./crash-filter.js";
import { crashJson } from "./crash-json.js";
import { CrashesAt } from "./crashes-at.js";
import { endedJson, NO_DUMP, type SilentEnd, silentEnds } from "./ended.js";
import { listRecords } from "./list-records.js";
import { tellOthers } from "./nothing-found.js";
import { writeOut } from "./stdout.js";
import { cut, formatTable, terminalWidth } from "./table.js";
import { formatAge } from "./time.js";

interface ListOptions extends CrashFilter {
  readonly json: boolean;
  readonly records: boolean;
}

/** A guest says what its kernel is called, and one's name mustn't push out all guests' titles. */
const KERNEL_COLUMNS = 28;

export function addList(program: Command): void {
  const command = program
    .command("list")
    .summary("list the crashes in a directory")
    .description(
      "Lists crashes, newest last. CRASH is the name that other commands take. A guest that oopses and then panics " +
        "has two crashes. PARTS counts the parts of the log: 2/3+ means that 2 of 3 are there, and that the text is " +
        "cut short. A guest that ended without a dump while its driver ran is listed, too, with its console's last " +
        "line: its VMM died or was killed. These lines go when you remove .ends from the guest's directory.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file");
  addFilterOptions(command)
    .addOption(
      new Option(
        "--records",
        "list every record, consoles and erased ones included, with the time of its last write",
      )
        .default(false)
        .conflicts(["title", "signature"]),
    )
    .option("--json", "print a JSON array", false)
    .action((path: string, options: ListOptions) =>
      options.records ? listRecords(path, options) : list(path, options),
    );
}

type Row = { readonly time: Date } & (
  | { readonly crash: Crash; readonly facts: CrashFacts }
  | { readonly end: SilentEnd }
);

async function list(path: string, options: ListOptions): Promise<void> {
  const at = new CrashesAt(path, options);
  const crashes = at.crashes.map((crash) => {
    return { time: crash.dump.time, crash, facts: at.facts(crash) };
  });
  at.close();
  if (at.isPartial) process.exitCode = 1;
  const ends = silentEnds(at.ends, at.records).map((end) => ({ time: end.time, end }));
  const rows = merged<Row>(crashes, ends);
  const isTold = rows.length === 0 && tellOthers(path, at.records, options);
  if (options.json) {
    const all = rows.map((row) =>
      "end" in row ? endedJson(row.end) : crashJson(row.crash, row.facts),
    );
    await writeOut(`${printableJson(all, 2)}\n`);
    return;
  }
  if (isTold) return;
  const table = [
    ["CRASH", "AGE", "KERNEL", "PARTS", "SIZE", "TITLE"],
    ...rows.map((row) => ("end" in row ? endCells(row.end) : cells(row.crash, row.facts))),
  ];
  await writeOut(formatTable(table, terminalWidth()));
}

/** Each end before the first crash that came later: crashes stay in their order, whatever their files' times are. */
function merged<T extends { readonly time: Date }>(crashes: readonly T[], ends: readonly T[]): T[] {
  if (ends.length === 0) return [...crashes];
  const left = [...ends];
  const before = (time: Date) => {
    const count = left.findIndex((end) => end.time > time);
    return left.splice(0, count < 0 ? left.length : count);
  };
  return [...crashes.flatMap((crash) => [...before(crash.time), crash]), ...left];
}

function cells({ name, dump, size }: Crash, facts: CrashFacts): string[] {
  const { title, release = "-" } = facts;
  const age = formatAge(dump.time);
  const kernel = cut(release, KERNEL_COLUMNS);
  return [name, age, kernel, partsOf(dump, facts), formatSize(size), title];
}

/** There is no crash to name. */
function endCells({ folder: guest, time, console }: SilentEnd): string[] {
  const name = fullName({ guest, name: "-" });
  const last = console?.lastLine;
  const title = last === undefined ? NO_DUMP : `${NO_DUMP}; ${console?.name} ends: ${last}`;
  return [name, formatAge(time), "-", "-", "-", title];
}

/** How many are there, of how many as far as that is known; a + where their text is cut short. */
function partsOf(dump: Crash["dump"], { cutShort }: CrashFacts): string {
  const there = dump.parts.length;
  const missing = missingParts(dump);
  return `${there}${missing > 0 ? `/${there + missing}` : ""}${cutShort ? "+" : ""}`;
}
