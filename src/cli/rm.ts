import type { Command } from "commander";
import { type Crash, isQuiet, isSettled, ownRecords, type RecordEntry } from "../report/index.js";
import { isStream } from "../store/index.js";
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
        "trace's records. It doesn't ask, but needs a name or a filter. What may still be written is left.",
    )
    .argument("<path>", "a directory of records or of guests, an ERST file, or a record's file")
    .argument("[crash...]", "crashes' names, as list tells them")
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
  const crashes = names.length > 0 ? names.map((name) => at.named(name)) : at.crashes;
  if (crashes.length === 0) throw new UserError(`${path} holds no crash that fits`);
  let failed = false;
  for (const crash of new Set(crashes)) {
    const records = recordsOf(at, crash, options.streams);
    const busy = isSettled(crash) ? records.find(isBeingWritten) : crash.dump.parts.at(-1);
    if (busy !== undefined) {
      warn(`${crash.name} is left: ${busy.path} may still be being written`);
      failed = true;
      continue;
    }
    const size = formatSize(records.reduce((sum, record) => sum + record.size, 0));
    const { title } = at.facts(crash);
    const count = records.length === 1 ? "1 record" : `${records.length} records`;
    if (!options.dryRun && !removed(records)) failed = true;
    else {
      const did = options.dryRun ? "would remove" : "removed";
      await writeLine(`${did} ${crash.name} (${count}, ${size}): ${title}`);
    }
  }
  if (failed) process.exitCode = 1;
}

function recordsOf(at: CrashesAt, crash: Crash, streams: boolean): RecordEntry[] {
  const related = at.related(crash);
  const { console, pmsg } = related;
  const all = streams ? [...(console?.records ?? []), ...(pmsg?.records ?? [])] : [];
  return [...ownRecords(crash, related), ...all];
}

const isBeingWritten = ({ type, time }: RecordEntry): boolean => isStream(type) && !isQuiet(time);

/** The first record last: what is interrupted keeps its name. */
function removed(records: readonly RecordEntry[]): boolean {
  try {
    for (const record of [...records].reverse()) record.source.remove(record);
    return true;
  } catch (error) {
    warn(errorLine(error));
    return false;
  }
}
