import type { Command } from "commander";
import { type Crash, isQuiet, isSettled, ownRecords, type RecordEntry } from "../report/index.js";
import { isStream } from "../store/layout.js";
import { addFilterOptions, type CrashFilter, isFiltered } from "./crash-filter.js";
import { CrashesAt } from "./crashes-at.js";
import { errorLine, USAGE, UserError, warn } from "./errors.js";
import { formatSize } from "./size.js";
import { writeLine } from "./stdout.js";

interface RmOptions extends CrashFilter {
  readonly streams: boolean;
  readonly dryRun: boolean;
}

export function addRm(program: Command): void {
  const command = program
    .command("rm")
    .summary("remove crashes")
    .description(
      "Removes the crashes that are named, or all that fit the filters: their log's and their " +
        "trace's records; or records that are no crash's, as a machine check, by the names that list --records " +
        "tells. It doesn't ask, but needs a name or a filter. What may still be written is left.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument("[crash...]", "crashes' names, as list tells them, or other records'")
    .option(
      "--streams",
      "also what was printed and written to /dev/pmsg0 in the crash's boot",
      false,
    )
    .option("--dry-run", "only say what would be removed", false);
  addFilterOptions(command).action((path: string, names: string[], options: RmOptions) =>
    rm(path, names, options),
  );
}

async function rm(path: string, names: readonly string[], options: RmOptions): Promise<void> {
  if (names.length > 0 === isFiltered(options)) {
    throw new UserError("rm needs either crashes' names, or filters such as --until", USAGE);
  }
  const at = new CrashesAt(path, options);
  try {
    const found = names.length > 0 ? names.map((name) => named(at, name)) : at.crashes;
    if (found.length === 0) throw new UserError(`${path} holds no crash that fits`);
    let failed = false;
    const gone = new Set<string>();
    for (const one of new Set(found)) {
      const whole = "dump" in one ? crashOf(at, one, options.streams) : recordOf(one);
      // What two crashes of one boot share went with the first.
      const records = whole.records.filter(({ path }) => !gone.has(path));
      if (records.length === 0) continue;
      if (await removeWhole({ ...whole, records }, options.dryRun)) {
        for (const { path } of records) gone.add(path);
      } else {
        failed = true;
      }
    }
    if (failed) process.exitCode = 1;
  } finally {
    at.close();
  }
}

/** What is removed together, or left. */
interface Whole {
  readonly name: string;
  readonly records: readonly RecordEntry[];
  /** May still be being written. */
  readonly busy: RecordEntry | undefined;
  readonly title: string;
}

/** A crash; or a record that is no part of a log, and so has a name that no crash has. */
function named(at: CrashesAt, name: string): Crash | RecordEntry {
  const [only, another] = at.records.filter(
    (record) => record.type !== "dmesg" && [record.name, fullName(record)].includes(name),
  );
  if (only === undefined) return at.named(name);
  if (another === undefined) return only;
  throw new UserError(`${name} could be ${fullName(only)} or ${fullName(another)}: say which`);
}

/** As `list --records` tells it. */
const fullName = ({ guest, name }: RecordEntry): string =>
  guest === "" ? name : `${guest}/${name}`;

function crashOf(at: CrashesAt, crash: Crash, streams: boolean): Whole {
  const records = recordsOf(at, crash, streams);
  const busy = isSettled(crash) ? records.find(isBeingWritten) : crash.dump.parts.at(-1);
  return { name: crash.name, records, busy, title: at.facts(crash).title };
}

function recordOf(record: RecordEntry): Whole {
  const busy = isBeingWritten(record) ? record : undefined;
  return { name: fullName(record), records: [record], busy, title: record.type };
}

/** Whether it is removed, or would be. */
async function removeWhole(whole: Whole, dryRun: boolean): Promise<boolean> {
  const { name, records, busy, title } = whole;
  if (busy !== undefined) {
    warn(`${name} is left: ${busy.path} may still be being written`);
    return false;
  }
  if (!dryRun && !removed(records)) return false;
  const size = formatSize(records.reduce((sum, record) => sum + record.size, 0));
  const count = records.length === 1 ? "1 record" : `${records.length} records`;
  const did = dryRun ? "would remove" : "removed";
  await writeLine(`${did} ${name} (${count}, ${size}): ${title}`);
  return true;
}

function recordsOf(at: CrashesAt, crash: Crash, streams: boolean): RecordEntry[] {
  const related = at.related(crash);
  const { console, pmsg } = related;
  const all = streams ? [...(console?.records ?? []), ...(pmsg?.records ?? [])] : [];
  return [...ownRecords(crash, related), ...all];
}

const isBeingWritten = ({ type, time }: RecordEntry): boolean => isStream(type) && !isQuiet(time);

function removed(records: readonly RecordEntry[]): boolean {
  try {
    // What goes together is of one guest, and so has one source.
    records[0]?.source.remove(records);
    return true;
  } catch (error) {
    warn(errorLine(error));
    return false;
  }
}
