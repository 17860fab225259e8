import { Heap } from "./heap.js";
import type { Unit } from "./unit.js";

interface Place {
  readonly unit: Unit;
  /** Its number in the order of all that were ever there. */
  readonly order: number;
  /** Its neighbours of those that are left. */
  before: Place | undefined;
  after: Place | undefined;
  /** The one that counts: older ones may still be in the heap. */
  rank: Rank | undefined;
}

interface Rank {
  readonly place: Place;
  /** Of a stream of which there is more. */
  readonly beginning: boolean;
  /** Milliseconds behind the one before it. */
  readonly gap: number;
}

/** Beginnings go last. Else the one with the smallest gap goes first, and of equal ones the oldest. */
function goesBefore(a: Rank, b: Rank): boolean {
  if (a.beginning !== b.beginning) return b.beginning;
  return a.gap === b.gap ? a.place.order < b.place.order : a.gap < b.gap;
}

/** Ranks that don't count any more are cleared away when there are so many for each that does. */
const STALE = 4;

/**
 * Units, oldest first, that are added at the end and go one by one. One that goes changes the rank of the one behind
 * it, and perhaps of its stream's beginning, and no other's: a guest decides how many there are.
 */
export class Row {
  readonly #places = new Map<Unit, Place>();
  #ranks = new Heap<Rank>(goesBefore);
  readonly #beginnings = new Map<bigint, Place>();
  /** Each stream's files but its beginning. */
  readonly #others = new Map<bigint, number>();
  #first: Place | undefined;
  #last: Place | undefined;
  #count = 0;

  /** The oldest. */
  get first(): Unit | undefined {
    return this.#first?.unit;
  }

  /** Newest first. */
  *newest(): Generator<Unit, void> {
    for (let place = this.#last; place !== undefined; place = place.before) yield place.unit;
  }

  /** Adds a unit behind all others. */
  add(unit: Unit): void {
    this.#put(unit, this.#count++, this.#last);
  }

  /** Adds a unit that was part of the first one, and was split from it. */
  addBehindFirst(unit: Unit): void {
    const first = this.#first;
    if (first === undefined) this.add(unit);
    else this.#put(unit, first.order, first);
  }

  /** The unit's time may be another. */
  changed(unit: Unit): void {
    const place = this.#places.get(unit);
    if (place === undefined) return;
    this.#rank(place);
    if (place.after !== undefined) this.#rank(place.after);
  }

  /** Nothing where it isn't there any more. */
  remove(unit: Unit): void {
    const place = this.#places.get(unit);
    if (place === undefined) return;
    const { before, after } = place;
    this.#places.delete(unit);
    place.rank = undefined;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) {
      this.#last = before;
    } else {
      after.before = before;
      this.#rank(after);
    }
    this.#leave(place);
  }

  /** Takes out the one that goes first of those that may; undefined where none may. */
  take(mayGo: (unit: Unit) => boolean): Unit | undefined {
    const passed: Rank[] = [];
    let found: Unit | undefined;
    for (let next = this.#ranks.take(); next !== undefined; next = this.#ranks.take()) {
      const { place } = next;
      if (place.rank !== next) continue;
      if (mayGo(place.unit)) {
        found = place.unit;
        break;
      }
      passed.push(next);
    }
    for (const rank of passed) this.#ranks.add(rank);
    if (found !== undefined) this.remove(found);
    return found;
  }

  #put(unit: Unit, order: number, before: Place | undefined): void {
    const after = before === undefined ? undefined : before.after;
    const place: Place = { unit, order, before, after, rank: undefined };
    this.#places.set(unit, place);
    if (before === undefined) this.#first = place;
    else before.after = place;
    if (after === undefined) this.#last = place;
    else after.before = place;
    this.#join(place);
    this.#rank(place);
    if (after !== undefined) this.#rank(after);
  }

  /** Counts a file of a stream. */
  #join(place: Place): void {
    const { stream, isBeginning } = place.unit;
    if (stream === undefined) return;
    if (isBeginning) {
      this.#beginnings.set(stream, place);
    } else {
      this.#others.set(stream, this.#othersOf(stream) + 1);
      this.#rankBeginning(stream);
    }
  }

  #leave(place: Place): void {
    const { stream } = place.unit;
    if (stream === undefined) return;
    if (this.#beginnings.get(stream) === place) {
      this.#beginnings.delete(stream);
      return;
    }
    const others = this.#othersOf(stream) - 1;
    if (others > 0) this.#others.set(stream, others);
    else this.#others.delete(stream);
    this.#rankBeginning(stream);
  }

  #rankBeginning(stream: bigint): void {
    const beginning = this.#beginnings.get(stream);
    if (beginning !== undefined) this.#rank(beginning);
  }

  #rank(place: Place): void {
    const { unit, before } = place;
    const beginning = unit.isBeginning && this.#othersOf(unit.stream) > 0;
    place.rank = { place, beginning, gap: unit.timeMs - (before?.unit.timeMs ?? 0) };
    this.#ranks.add(place.rank);
    if (this.#ranks.size > STALE * (this.#places.size + 1)) this.#clearAway();
  }

  #clearAway(): void {
    this.#ranks = new Heap<Rank>(goesBefore);
    for (const { rank } of this.#places.values()) if (rank !== undefined) this.#ranks.add(rank);
  }

  #othersOf(stream: bigint | undefined): number {
    return stream === undefined ? 0 : (this.#others.get(stream) ?? 0);
  }
}
