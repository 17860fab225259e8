import type { RecordHeader } from "../records/dump-header.js";
import { isOfSameDump, mayContinue, placeOf } from "../records/same-dump.js";
import type { TableEntry } from "./record-table.js";
import { Unit } from "./unit.js";

/** What is known of a record without all of its data. */
export interface DumpPart {
  readonly entry: TableEntry;
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

/** Whether a part goes on with the newest dump of its place. */
function continues({ last, units }: Growing, { entry, header }: DumpPart): boolean {
  if (header === undefined) {
    const parts = units.reduce((sum, { records }) => sum + records.length, 0);
    return mayContinue(unread(last), unread({ entry }), parts);
  }
  const pauseMs = entry.timeMs - last.entry.timeMs;
  return last.header !== undefined && isOfSameDump(last.header, header, pauseMs);
}

const unread = ({ entry: { name, timeMs } }: Pick<DumpPart, "entry">) => ({
  compressed: name.compressed,
  timeMs,
});
