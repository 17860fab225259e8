import type { Totals } from "./record-table.js";
import type { Room } from "./rooms.js";
import { Row } from "./row.js";
import type { Unit } from "./unit.js";

/** So many of the newest are kept, as long as they take no more than half of the room. */
const NEWEST = 8;

export interface Wish {
  readonly room: Room;
  /** What the units and others that are going take. */
  readonly used: Totals;
  /** What is to come. */
  readonly needed: Totals;
  /** The units of the dump that what is to come belongs to; none where it begins one. */
  readonly continued: readonly Unit[];
  /** Units that are written to, and never dropped. */
  readonly busy: readonly Unit[];
}

const isHalf = ({ records, bytes }: Totals, room: Room): boolean =>
  records <= Math.max(1, room.records / 2) && bytes <= room.bytes / 2;

/** The units of one type, oldest first, and which of them have to go so that what is to come has room. */
export class Retention {
  readonly #row = new Row();
  readonly #onSplit: (first: Unit, rest: Unit) => void;

  /** `onSplit`: what was one unit is two from now on. */
  constructor(onSplit: (first: Unit, rest: Unit) => void = () => undefined) {
    this.#onSplit = onSplit;
  }

  /** The newest. */
  add(unit: Unit): void {
    this.#row.add(unit);
  }

  /** The unit's time may be another. */
  changed(unit: Unit): void {
    this.#row.changed(unit);
  }

  /** It is gone. */
  remove(unit: Unit): void {
    this.#row.remove(unit);
  }

  /**
   * Takes out what has to go; undefined where nothing may. Nothing changes before what is returned is called.
   *
   * The first unit stays, and the newest. Of those between, the one goes first that came soonest after the
   * one before it. So of crashes in a row the one that began the row stays longest, and whoever floods the
   * room loses of the flood before anything older is touched. What is new takes at most half of the room
   * away from what is there: one dump without an end, or a thousand of them, can't push out everything.
   *
   * A stream's beginning goes behind all that may go, as long as there is more of its stream. Alone it counts
   * as any other: a flood of boots is nothing but beginnings.
   */
  toDrop(wish: Wish): (() => Unit[]) | undefined {
    const { room, used, needed, continued, busy } = wish;
    const newest = this.#newestKept(wish);
    if (newest === undefined) return undefined;
    this.#splitFirst(room);
    const first = this.#row.first;
    const stays = new Set<Unit>([...newest, ...busy, ...continued]);
    if (first !== undefined) stays.add(first);
    let { records, bytes } = needed;
    for (const unit of stays) {
      records += unit.records.length;
      bytes += unit.bytes;
    }
    if (records > room.records || bytes > room.bytes) return undefined;
    return () => {
      const dropped: Unit[] = [];
      let left = used;
      while (
        left.records + needed.records > room.records ||
        left.bytes + needed.bytes > room.bytes
      ) {
        const unit = this.#row.take((one) => !stays.has(one));
        if (unit === undefined) break;
        dropped.push(unit);
        left = { records: left.records - unit.records.length, bytes: left.bytes - unit.bytes };
      }
      return dropped;
    };
  }

  /**
   * Those of the newest units that stay; undefined where what is to come, with what it belongs to, takes
   * more than half of the room.
   */
  #newestKept({ room, needed, continued }: Wish): Unit[] | undefined {
    let { records, bytes } = needed;
    const add = (unit: Unit) => {
      records += unit.records.length;
      bytes += unit.bytes;
      return isHalf({ records, bytes }, room);
    };
    for (const unit of continued) add(unit);
    if (!isHalf({ records, bytes }, room)) return undefined;
    const kept: Unit[] = [];
    for (const unit of this.#row.newest()) {
      if (kept.length === NEWEST || (!continued.includes(unit) && !add(unit))) break;
      kept.push(unit);
    }
    return kept;
  }

  /**
   * While there was room the first unit could grow without an end, and kept whole it would leave none: what
   * it has beyond half of the room, but for its first record, becomes a unit of its own.
   */
  #splitFirst(room: Room): void {
    const { first } = this.#row;
    if (
      first === undefined ||
      isHalf({ records: first.records.length, bytes: first.bytes }, room)
    ) {
      return;
    }
    let bytes = 0;
    const end = first.records.findIndex(({ size }, i) => {
      bytes += size;
      return i > 0 && !isHalf({ records: i + 1, bytes }, room);
    });
    if (end < 0) return;
    const rest = first.splitBehind(end);
    this.#row.addBehindFirst(rest);
    this.#onSplit(first, rest);
  }
}
