import type { RecordEntry, Totals } from "./record-table.js";
import type { Room } from "./rooms.js";

/** Records that are kept or dropped together: a dump's parts, or one file of a stream. */
export interface Unit {
  /** Oldest first. */
  readonly records: readonly RecordEntry[];
  readonly bytes: number;
  /** When it came, in milliseconds since 1970-01-01 UTC. */
  readonly timeMs: number;
  /** It is still written to, and never dropped. */
  readonly busy: boolean;
  /** A stream's beginning: dropped only where nothing else can be. */
  readonly beginning: boolean;
}

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
  /** What is to come belongs to the newest unit. */
  readonly continues: boolean;
}

/**
 * What has to go so that what is to come has room; undefined where nothing may.
 *
 * The first unit stays, and the newest. Of those between, the one goes first that came soonest after the
 * one before it. So of crashes in a row the one that began the row stays longest, and whoever floods the
 * room loses of the flood before anything older is touched. What is new takes at most half of the room
 * away from what is there: one dump without an end, or a thousand of them, can't push out everything.
 */
export function toDrop(options: RetentionOptions): readonly Unit[] | undefined {
  const { units, room, used, needed } = options;
  const kept = newestKept(options);
  if (kept === undefined) return undefined;
  const left = [...units];
  // The last ones that `kept` counts, and the first.
  const mayGo = (unit: Unit, i: number) => i > 0 && i < left.length - kept && !unit.busy;
  const dropped: Unit[] = [];
  let { records, bytes } = used;
  while (records + needed.records > room.records || bytes + needed.bytes > room.bytes) {
    const candidates = left.flatMap((unit, i) => {
      const gap = unit.timeMs - (left[i - 1]?.timeMs ?? 0);
      return mayGo(unit, i) ? [{ unit, i, gap }] : [];
    });
    const [first] = candidates.sort(
      (a, b) => Number(a.unit.beginning) - Number(b.unit.beginning) || a.gap - b.gap || a.i - b.i,
    );
    if (first === undefined) return undefined;
    left.splice(first.i, 1);
    dropped.push(first.unit);
    records -= first.unit.records.length;
    bytes -= first.unit.bytes;
  }
  return dropped;
}

/**
 * How many of the newest units stay; undefined where what is to come, with what it belongs to, takes
 * more than half of the room.
 */
function newestKept({ units, room, needed, continues }: RetentionOptions): number | undefined {
  let { records, bytes } = needed;
  const within = () => records <= Math.max(1, room.records / 2) && bytes <= room.bytes / 2;
  let kept = 0;
  for (const unit of [...units].reverse()) {
    records += unit.records.length;
    bytes += unit.bytes;
    if (!within()) return continues && kept === 0 ? undefined : kept;
    if (++kept === NEWEST) break;
  }
  return kept;
}
