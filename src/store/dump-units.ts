import type { RecordHeader } from "./dump-header.js";
import type { RecordEntry } from "./record-table.js";
import { type Unit, unitOf } from "./unit.js";

/**
 * A guest waits 5 s for its host at most. What comes so long after a part belongs to another dump,
 * whatever it says: a guest can read the first lines of its dumps, and send them again.
 */
export const LATE_MS = 10_000;

/** A guest writes the parts of one dump without a pause; those that it compressed are told apart by it. */
const PAUSE_MS = 2000;

/** And take no more than so many for one dump: pstore ends one at 10 KiB by default. */
const MAX_COMPRESSED = 64;

/** What is known of a record without all of its data. */
export interface DumpPart {
  readonly entry: RecordEntry;
  /** Undefined where it has none, or the guest compressed it. */
  readonly header: RecordHeader | undefined;
}

interface Growing {
  readonly records: RecordEntry[];
  last: DumpPart;
}

/**
 * Puts records of one type, oldest first, together to dumps, in the order in which these began. With a
 * boot id those of one boot, reason, count and time belong together, whatever lies between them. Without one,
 * or compressed, only what follows on each other does. Nothing is added to a dump that has its last part.
 */
export function dumpUnits(parts: readonly DumpPart[]): Unit[] {
  /** The newest of each place. */
  const newest = new Map<string, Growing>();
  const dumps: Growing[] = [];
  for (const part of parts) {
    const { entry, header } = part;
    const place = header === undefined ? "" : placeOf(header);
    const found = newest.get(place);
    if (found !== undefined && continues(found, part)) {
      found.records.push(entry);
      found.last = part;
    } else {
      const begun = { records: [entry], last: part };
      dumps.push(begun);
      newest.set(place, begun);
    }
  }
  return dumps.map(({ records }) => unitOf(records));
}

/** The dumps without a part that is to come behind `parts`, and the one of them that it belongs to. */
export function dumpsBefore(
  parts: readonly DumpPart[],
  next: DumpPart,
): { readonly units: Unit[]; readonly continued: Unit | undefined } {
  const units = dumpUnits([...parts, next]);
  const at = units.findIndex(({ records }) => records.at(-1) === next.entry);
  const former = units[at]?.records.slice(0, -1) ?? [];
  const continued = former.length === 0 ? undefined : unitOf(former);
  units.splice(at, 1, ...(continued === undefined ? [] : [continued]));
  return { units, continued };
}

/** Where the parts of a dump are looked for. All of a guest that don't tell its boot share one place: the newest ends the others. */
export const placeOf = ({ boot, reason, count, guestTime = "" }: RecordHeader): string =>
  boot === undefined ? "" : `${boot}/${reason}/${count}/${guestTime}`;

/**
 * Whether a part can be of a dump whose newest part is `former`, which came `pauseMs` before it: one of
 * the same reason, count, boot and time that hasn't ended. Without a boot id its parts go up, for a guest
 * writes them one after another, and counts anew with each boot.
 */
export function isOfSameDump(former: RecordHeader, next: RecordHeader, pauseMs: number): boolean {
  const { reason, count, boot, guestTime, part } = next;
  if (former.reason !== reason || former.count !== count) return false;
  // A guest that is set back to a snapshot has the same boot again.
  if (former.boot !== boot || former.guestTime !== guestTime) return false;
  // The host's clock may be set back.
  if (former.last === true || Math.abs(pauseMs) > LATE_MS) return false;
  return boot !== undefined || former.part < part;
}

/** What is known of a record that the guest may have compressed. */
interface Unread {
  readonly compressed: boolean;
  readonly timeMs: number;
}

/** Whether a compressed record of which nothing is known can be of the dump whose newest part is `former`. */
export const mayContinue = (former: Unread, next: Unread, parts: number): boolean =>
  former.compressed &&
  next.compressed &&
  Math.abs(next.timeMs - former.timeMs) <= PAUSE_MS &&
  parts < MAX_COMPRESSED;

/** Whether a part goes on with the newest dump of its place. */
function continues({ last, records }: Growing, { entry, header }: DumpPart): boolean {
  if (header === undefined) return mayContinue(unread(last), unread({ entry }), records.length);
  const pauseMs = entry.timeMs - last.entry.timeMs;
  return last.header !== undefined && isOfSameDump(last.header, header, pauseMs);
}

const unread = ({ entry: { name, timeMs } }: Pick<DumpPart, "entry">): Unread => ({
  compressed: name.compressed,
  timeMs,
});
