import { firstPlace } from "../first-place.js";

/** A run of kernel addresses, and what is there. */
export interface AddressRange<T> {
  readonly start: bigint;
  /** One more than the last address. */
  readonly end: bigint;
  readonly value: T;
}

/** Finds what is at an address. Of ranges that overlap, the one that begins first has the addresses of both. */
export class AddressRanges<T> {
  readonly #ranges: readonly AddressRange<T>[];

  constructor(ranges: readonly AddressRange<T>[]) {
    const sorted = [...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    const found: AddressRange<T>[] = [];
    let end = 0n;
    for (const range of sorted) {
      const start = range.start < end ? end : range.start;
      if (start >= range.end) continue;
      found.push({ ...range, start });
      end = range.end;
    }
    this.#ranges = found;
  }

  at(address: bigint): AddressRange<T> | undefined {
    const ranges = this.#ranges;
    const after = firstPlace(ranges.length, (place) => (ranges[place]?.start ?? 0n) > address);
    const range = ranges[after - 1];
    return range !== undefined && address < range.end ? range : undefined;
  }
}
