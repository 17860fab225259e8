import type { Command } from "commander";
import { type Crash, type CrashFacts, type GuestEnded, guestOf } from "../analysis/index.js";
import type { RecordEntry } from "../records/index.js";
import { USAGE, UserError } from "../service/errors.js";
import { NO_DUMP } from "./ended.js";
import { notEmpty, once } from "./option-values.js";
import { parseTime, parseUntil } from "./time.js";

/** Which crashes a command is asked for. */
export interface CrashFilter {
  readonly since?: Date;
  readonly until?: Date;
  readonly guest?: string;
  readonly title?: string;
  readonly signature?: string;
}

export function addFilterOptions(command: Command): Command {
  return command
    .option(
      "--since <time>",
      "from this time on: 2026-11-22, '2026-11-22 04:42' (UTC), 2026-11-22T04:42:16+02:00, today, yesterday, 90m, 12h or 2d (ago)",
      parseTime,
    )
    .option("--until <time>", "up to the end of this day, minute or second", parseUntil)
    .option(
      "--guest <name>",
      "of this guest: the name of its directory, or of its ERST file without .erst",
      once,
    )
    .option("--title <text>", "with this text in the title, in upper or lower case", notEmpty)
    .option("--signature <id>", "with this signature, or its beginning", notEmpty)
    .hook("preAction", () => {
      const { since, until } = command.opts<CrashFilter>();
      if (since !== undefined && until !== undefined && since > until) {
        throw new UserError("--since is later than --until: nothing would fit", USAGE);
      }
    });
}

export const isFiltered = (filter: CrashFilter): boolean =>
  [filter.since, filter.until, filter.guest, filter.title, filter.signature].some(
    (value) => value !== undefined,
  );

/** Whether records of a guest are asked for. */
export const isGuest = (record: RecordEntry, { guest }: CrashFilter): boolean =>
  guest === undefined || guestOf(record) === guest;

export const isWithin = (time: Date, { since, until }: CrashFilter): boolean =>
  (since === undefined || time >= since) && (until === undefined || time <= until);

const hasTitle = (title: string, { title: asked }: CrashFilter): boolean =>
  asked === undefined || title.toLowerCase().includes(asked.toLowerCase());

/** It has no signature. */
export const isEndWanted = ({ guest, time }: GuestEnded, filter: CrashFilter): boolean =>
  (filter.guest === undefined || guest === filter.guest) &&
  isWithin(time, filter) &&
  hasTitle(NO_DUMP, filter) &&
  filter.signature === undefined;

/** `facts` is asked only where the filter needs it: that reads the whole log. */
export function isWanted(
  crash: Crash,
  filter: CrashFilter,
  facts: (crash: Crash) => CrashFacts,
): boolean {
  const { guest, title, signature } = filter;
  return (
    (guest === undefined || crash.guest === guest) &&
    isWithin(crash.dump.time, filter) &&
    (title === undefined || hasTitle(facts(crash).title, filter)) &&
    (signature === undefined || facts(crash).signature.startsWith(signature.toLowerCase()))
  );
}
