import { consolesOf, type GuestEnded, type LastConsole } from "../analysis/index.js";
import type { RecordEntry } from "../records/index.js";

/** What stands in place of a crash's title. */
export const NO_DUMP = "ended without a dump";

/** A guest that ended without a dump, and what its console said last. */
export interface SilentEnd extends GuestEnded {
  readonly console: LastConsole | undefined;
}

/** The guests of `ends` that ended without a dump, each with its console among `records`. */
export function silentEnds(
  ends: readonly GuestEnded[],
  records: readonly RecordEntry[],
): SilentEnd[] {
  const consoleOf = consolesOf(records);
  return ends
    .filter(({ kind }) => kind === "without-dump")
    .map((end) => ({ ...end, console: consoleOf(end) }));
}

/** As every command's JSON tells it. */
export function endedJson({ guest, time, since, boot, console }: SilentEnd): object {
  const lastLine = console?.lastLine;
  return {
    kind: "ended",
    guest,
    time: time.toISOString(),
    since: since.toISOString(),
    title: NO_DUMP,
    signature: "",
    ...(boot === undefined ? {} : { boot }),
    ...(console === undefined ? {} : { console: console.name }),
    ...(lastLine === undefined ? {} : { lastLine }),
  };
}
