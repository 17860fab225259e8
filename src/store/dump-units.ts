import type { RecordHeader } from "./dump-header.js";
import type { RecordEntry } from "./record-table.js";
import { Unit } from "./unit.js";

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

/** The newest dump of a place. */
interface Growing {
  readonly place: string;
  /** It, and what was split from it, the newest last: none where all of it is gone. */
  units: Unit[];
  last: DumpPart;
}

/**
 * Puts records of one type, oldest first, together to dumps, in the order in which these began. With a
 * boot id those of one boot, reason, count and time belong together, whatever lies between them. Without one,
 * or compressed, only what follows on each other does. Nothing is added to a dump that has its last part.
 */
export class DumpGrouper {
  readonly #newest = new Map<string, Growing>();
  readonly #growing = new Map<Unit, Growing>();

  /** The units of the dump that a part belongs to, the newest last; none where it begins one. */
  continued(part: DumpPart): readonly Unit[] {
    const found = this.#newest.get(placeIn(part));
    return found !== undefined && continues(found, part) ? found.units : [];
  }

  /** Adds a part that is newer than all others, and returns its unit: a new one where that has nothing else. */
  add(part: DumpPart): Unit {
    const former = this.continued(part).at(-1);
    const place = placeIn(part);
    const found = this.#newest.get(place);
    if (former !== undefined && found !== undefined) {
      former.add(part.entry);
      found.last = part;
      return former;
    }
    const unit = new Unit([part.entry]);
    const growing = { place, units: [unit], last: part };
    this.#newest.set(place, growing);
    this.#growing.set(unit, growing);
    return unit;
  }

  /** A unit became two. */
  split(first: Unit, rest: Unit): void {
    const growing = this.#growing.get(first);
    if (growing === undefined) return;
    growing.units = growing.units.flatMap((unit) => (unit === first ? [first, rest] : [unit]));
    this.#growing.set(rest, growing);
  }

  /** A unit is gone. */
  remove(unit: Unit): void {
    const growing = this.#growing.get(unit);
    if (growing === undefined) return;
    this.#growing.delete(unit);
    growing.units = growing.units.filter((one) => one !== unit);
    if (growing.units.length === 0 && this.#newest.get(growing.place) === growing) {
      this.#newest.delete(growing.place);
    }
  }
}

const placeIn = ({ header }: DumpPart): string => (header === undefined ? "" : placeOf(header));

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
function continues({ last, units }: Growing, { entry, header }: DumpPart): boolean {
  if (header === undefined) {
    const parts = units.reduce((sum, { records }) => sum + records.length, 0);
    return mayContinue(unread(last), unread({ entry }), parts);
  }
  const pauseMs = entry.timeMs - last.entry.timeMs;
  return last.header !== undefined && isOfSameDump(last.header, header, pauseMs);
}

const unread = ({ entry: { name, timeMs } }: Pick<DumpPart, "entry">): Unread => ({
  compressed: name.compressed,
  timeMs,
});
