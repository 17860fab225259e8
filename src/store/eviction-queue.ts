import { fits, isHalf, type Quota, sum } from "./quota.js";
import type { RecordGroup } from "./record-group.js";
import type { Totals } from "./record-table.js";

/** So many of the newest stay, as long as they take no more than half of the quota. */
const NEWEST = 8;

/** What is to come, and what it needs. */
export interface Wish {
  readonly quota: Quota;
  /** What is there, without what is going already. */
  readonly used: Totals;
  readonly needed: Totals;
  /** The group of the dump that what is to come goes on with. */
  readonly continued: RecordGroup | undefined;
  /** The group of the file that it is appended to. */
  readonly appended: RecordGroup | undefined;
}

/**
 * The groups of one type, in the order in which they go where there is no room: the newest goes first, but for the
 * last eight, and for the first of each hour; where only these are left, the oldest of them, but for the first of all.
 *
 * So the first crash stays, and the one that began a later loop, and the newest ones; and a flood turns on itself,
 * because all of it is newer than what was there.
 */
export class EvictionQueue {
  /** The first of each hour, oldest first. */
  readonly #firsts: RecordGroup[] = [];
  /** All others, oldest first. */
  readonly #others: RecordGroup[] = [];
  /** Those that have a first. */
  readonly #hours = new Set<number>();

  /** Adds a group that is newer than all others. */
  add(group: RecordGroup): void {
    const isFirst = !group.isContinuation && !this.#hours.has(group.hour);
    if (isFirst) this.#hours.add(group.hour);
    (isFirst ? this.#firsts : this.#others).push(group);
  }

  /** Nothing where it isn't there any more. */
  remove(group: RecordGroup): void {
    for (const groups of [this.#firsts, this.#others]) {
      const at = indexOf(groups, group.id);
      if (groups[at] === group) groups.splice(at, 1);
    }
  }

  /**
   * What has to go so that what is to come fits; undefined where that is more than may go. What is to come, with the
   * dump that it goes on with, takes at most half of the quota away from what is there. Of more than `most` groups the
   * first ones.
   */
  toEvict(wish: Wish, most = Number.POSITIVE_INFINITY): RecordGroup[] | undefined {
    const stays = this.#staying(wish);
    if (stays === undefined) return undefined;
    const { quota, used, needed } = wish;
    const evicted: RecordGroup[] = [];
    let all = sum(used, needed);
    for (const group of this.#inOrder()) {
      if (fits(all, quota) || evicted.length === most) return evicted;
      if (stays.has(group) || group.isPending) continue;
      evicted.push(group);
      all = { records: all.records - group.records, bytes: all.bytes - group.bytes };
    }
    return fits(all, quota) ? evicted : undefined;
  }

  /** Undefined where what is to come takes too much. */
  #staying({ quota, needed, continued, appended }: Wish): Set<RecordGroup | undefined> | undefined {
    let taken = continued === undefined ? needed : sum(needed, continued);
    // What goes on with a dump's second group has half of the quota already.
    if (!isHalf(taken, quota) || continued?.isContinuation === true) return undefined;
    const stays = new Set([continued, appended, this.#oldest()]);
    for (const group of this.#newest()) {
      if (group !== continued) taken = sum(taken, group);
      if (!isHalf(taken, quota)) break;
      stays.add(group);
    }
    return stays;
  }

  *#inOrder(): Generator<RecordGroup, void> {
    for (let i = this.#others.length - 1; i >= 0; i--) {
      const group = this.#others[i];
      if (group !== undefined) yield group;
    }
    yield* this.#firsts;
  }

  #oldest(): RecordGroup | undefined {
    return [...this.#firsts.slice(0, 1), ...this.#others.slice(0, 1)].sort(byId)[0];
  }

  /** Newest first. */
  #newest(): RecordGroup[] {
    const newest = [...this.#firsts.slice(-NEWEST), ...this.#others.slice(-NEWEST)];
    return newest.sort(byId).slice(-NEWEST).reverse();
  }
}

const byId = (a: RecordGroup, b: RecordGroup): number => (a.id < b.id ? -1 : 1);

/** Of the first that isn't before the one with this id. */
function indexOf(groups: readonly RecordGroup[], id: bigint): number {
  let from = 0;
  let to = groups.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((groups[middle]?.id ?? id) < id) from = middle + 1;
    else to = middle;
  }
  return from;
}
