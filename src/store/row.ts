import { Heap } from "./heap.js";
import type { Unit } from "./unit.js";

interface Place {
  readonly unit: Unit;
  readonly i: number;
  /** Its neighbours of those that are left. */
  before: Place | undefined;
  after: Place | undefined;
  /** The one that counts: older ones may still be in the heap. Undefined where it is gone, or may not go. */
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
  return a.gap === b.gap ? a.place.i < b.place.i : a.gap < b.gap;
}

/**
 * Units, oldest first, that are dropped one by one. One that goes changes the rank of the one behind it, and
 * perhaps of its stream's beginning, and no other's: a guest decides how many there are.
 */
export class Row {
  readonly #ranks = new Heap<Rank>(goesBefore);
  readonly #beginnings = new Map<bigint, Place>();
  /** Each stream's files but its beginning. */
  readonly #others = new Map<bigint, number>();

  constructor(units: readonly Unit[], mayGo: (unit: Unit, i: number) => boolean) {
    const places: Place[] = [];
    for (const [i, unit] of units.entries()) {
      const before = places.at(-1);
      const place: Place = { unit, i, before, after: undefined, rank: undefined };
      if (before !== undefined) before.after = place;
      places.push(place);
      if (unit.stream === undefined) continue;
      if (isBeginning(unit)) this.#beginnings.set(unit.stream, place);
      else this.#others.set(unit.stream, this.#othersOf(unit) + 1);
    }
    for (const place of places) if (mayGo(place.unit, place.i)) this.#rank(place);
  }

  /** Undefined where none may go. */
  drop(): Unit | undefined {
    for (let next = this.#ranks.take(); next !== undefined; next = this.#ranks.take()) {
      const { place } = next;
      if (place.rank !== next) continue;
      this.#remove(place);
      return place.unit;
    }
    return undefined;
  }

  #remove(place: Place): void {
    const { unit, before, after } = place;
    place.rank = undefined;
    if (before !== undefined) before.after = after;
    if (after !== undefined) {
      after.before = before;
      this.#rankAnew(after);
    }
    if (unit.stream === undefined || isBeginning(unit)) return;
    this.#others.set(unit.stream, this.#othersOf(unit) - 1);
    if (this.#othersOf(unit) === 0) this.#rankAnew(this.#beginnings.get(unit.stream));
  }

  #rankAnew(place: Place | undefined): void {
    if (place?.rank !== undefined) this.#rank(place);
  }

  #rank(place: Place): void {
    const { unit, before } = place;
    place.rank = {
      place,
      beginning: isBeginning(unit) && this.#othersOf(unit) > 0,
      gap: unit.timeMs - (before?.unit.timeMs ?? 0),
    };
    this.#ranks.add(place.rank);
  }

  #othersOf({ stream }: Unit): number {
    return stream === undefined ? 0 : (this.#others.get(stream) ?? 0);
  }
}

const isBeginning = ({ stream, records }: Unit): boolean => records[0]?.name.id === stream;
