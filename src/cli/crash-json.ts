import { type Crash, type CrashFacts, missingParts } from "../analysis/index.js";
import type { RecordEntry } from "../records/index.js";

/** A record as JSON tells it; its id is in its name. */
export const recordJson = ({ name, path, size, time, erased }: RecordEntry): unknown => ({
  ...{ name, path, size, time: time.toISOString(), erased },
});

/** A crash as every command's JSON tells it. */
export function crashJson({ name, guest, dump, size }: Crash, facts: CrashFacts): object {
  const { time, boot, reason, count, parts } = dump;
  const guestTime = parts.find(({ header }) => header?.guestTime !== undefined)?.header?.guestTime;
  return {
    ...{ name, guest, time: time.toISOString() },
    ...(guestTime === undefined ? {} : { guestTime }),
    ...(boot === undefined ? {} : { boot }),
    ...{ reason, count, ...facts, size },
    missingParts: missingParts(dump),
    records: parts.map(recordJson),
  };
}
