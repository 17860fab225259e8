import type { Totals } from "./record-table.js";
import type { Room } from "./rooms.js";
import { Row } from "./row.js";
import { type Unit, unitOf } from "./unit.js";

/** So many of the newest are kept, as long as they take no more than half of the room. */
const NEWEST = 8;

export interface RetentionOptions {
  /** Oldest first; all of the type. */
  readonly units: readonly Unit[];
  readonly room: Room;
  /** What there is now. */
  readonly used: Totals;
  /** What is to come. */
  readonly needed: Totals;
  /** The one of `units` that what is to come belongs to; undefined where it begins one. */
  readonly continued: Unit | undefined;
}

/**
 * What has to go so that what is to come has room; undefined where nothing may.
 *
 * The first unit stays, and the newest. Of those between, the one goes first that came soonest after the
 * one before it. So of crashes in a row the one that began the row stays longest, and whoever floods the
 * room loses of the flood before anything older is touched. What is new takes at most half of the room
 * away from what is there: one dump without an end, or a thousand of them, can't push out everything.
 *
 * A stream's beginning goes behind all that may go, as long as there is more of its stream. Alone it counts
 * as any other: a flood of boots is nothing but beginnings.
 */
export function toDrop(options: RetentionOptions): readonly Unit[] | undefined {
  const { units, room, used, needed, continued } = options;
  const kept = newestKept(options);
  if (kept === undefined) return undefined;
  const left = withinHalf(units, room);
  // The last ones that `kept` counts, and the first.
  const mayGo = (unit: Unit, i: number) =>
    i > 0 && i < left.length - kept && unit !== continued && !unit.busy;
  const row = new Row(left, mayGo);
  const dropped: Unit[] = [];
  let { records, bytes } = used;
  while (records + needed.records > room.records || bytes + needed.bytes > room.bytes) {
    const unit = row.drop();
    if (unit === undefined) return undefined;
    dropped.push(unit);
    records -= unit.records.length;
    bytes -= unit.bytes;
  }
  return dropped;
}

const isHalf = ({ records, bytes }: Totals, room: Room): boolean =>
  records <= Math.max(1, room.records / 2) && bytes <= room.bytes / 2;

/**
 * How many of the newest units stay; undefined where what is to come, with what it belongs to, takes
 * more than half of the room.
 */
function newestKept({ units, room, needed, continued }: RetentionOptions): number | undefined {
  let { records, bytes } = needed;
  const add = (unit: Unit) => {
    records += unit.records.length;
    bytes += unit.bytes;
    return isHalf({ records, bytes }, room);
  };
  if (continued !== undefined) add(continued);
  if (!isHalf({ records, bytes }, room)) return undefined;
  let kept = 0;
  for (const unit of [...units].reverse()) {
    if (kept === NEWEST || (unit !== continued && !add(unit))) break;
    kept++;
  }
  return kept;
}

/**
 * While there was room the first unit could grow without an end, and kept whole it would leave none: what
 * it has beyond half of the room, but for its first record, becomes a unit of its own.
 */
function withinHalf(units: readonly Unit[], room: Room): Unit[] {
  const [first, ...others] = units;
  if (first === undefined || isHalf({ records: first.records.length, bytes: first.bytes }, room)) {
    return [...units];
  }
  let bytes = 0;
  const end = first.records.findIndex(({ size }, i) => {
    bytes += size;
    return i > 0 && !isHalf({ records: i + 1, bytes }, room);
  });
  if (end < 0) return [...units];
  return [unitOf(first.records.slice(0, end)), unitOf(first.records.slice(end)), ...others];
}
