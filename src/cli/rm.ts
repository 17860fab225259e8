import type { Command } from "commander";
import { type Crash, isQuiet, isSettled, ownRecords } from "../analysis/index.js";
import { isStream, type RecordEntry } from "../records/index.js";
import { errorLine, USAGE, UserError, warn } from "../service/errors.js";
import { fullName } from "../service/names.js";
import { formatSize } from "../service/size.js";
import { addFilterOptions, type CrashFilter, isFiltered } from "./crash-filter.js";
import { CrashesAt } from "./crashes-at.js";
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
      "Removes crashes, without asking: those that are named, or all that the filters choose. A crash's log and trace " +
        "go, and a folder's dmesg.txt with its last record. A record that belongs to no crash, such as a machine check, " +
        "goes by the name that list --records prints. Crashes that may still be written are left. For guests that " +
        "ended without a dump there is nothing to remove but .ends (see list --help).",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument("[crash...]", "names of crashes, as list prints them, or of other records")
    .option("--streams", "remove the console and pmsg records of the crash's boot, too", false)
    .option("--dry-run", "only print what would be removed", false);
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
    const found = names.length > 0 ? names.map((name) => at.crashOrRecord(name)) : at.crashes;
    if (found.length === 0) throw at.nothing();
    let failed = false;
    const gone = new Set<string>();
    for (const one of new Set(found)) {
      const removal = removalOf(at, one, options.streams);
      // What two crashes of one boot share went with the first.
      const records = removal.records.filter(({ path }) => !gone.has(path));
      if (records.length === 0) continue;
      if (await remove({ ...removal, records }, options.dryRun)) {
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
interface Removal {
  readonly name: string;
  readonly title: string;
  readonly records: readonly RecordEntry[];
  /** May still be being written. */
  readonly busy: RecordEntry | undefined;
}

function removalOf(at: CrashesAt, one: Crash | RecordEntry, streams: boolean): Removal {
  if ("dump" in one) {
    const records = recordsOf(at, one, streams);
    const busy = isSettled(one) ? records.find(isBeingWritten) : one.dump.parts.at(-1);
    return { name: one.name, title: at.facts(one).title, records, busy };
  }
  const records = [one];
  return { name: fullName(one), title: one.type, records, busy: records.find(isBeingWritten) };
}

/** Whether it is removed, or would be. */
async function remove(removal: Removal, dryRun: boolean): Promise<boolean> {
  const { name, title, records, busy } = removal;
  if (busy !== undefined) {
    warn(`${name} is left: ${busy.path} may still be written`);
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
