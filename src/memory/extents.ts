import { firstPlace } from "./first-place.js";
import type { Extent } from "./physical-memory.js";

/** Extents in any order that may touch or overlap, as ascending ones that don't. */
export function merged(extents: readonly Extent[]): Extent[] {
  const all: { start: number; size: number }[] = [];
  for (const { start, size } of [...extents].sort((a, b) => a.start - b.start)) {
    const last = all.at(-1);
    if (last === undefined || last.start + last.size < start) all.push({ start, size });
    else last.size = Math.max(last.size, start + size - last.start);
  }
  return all;
}

/** The whole pages that extents touch. */
export function wholePages(extents: readonly Extent[], pageBytes: number): Extent[] {
  return merged(
    extents.map(({ start, size }) => {
      const first = start - (start % pageBytes);
      return { start: first, size: Math.ceil((start + size) / pageBytes) * pageBytes - first };
    }),
  );
}

/** Memory cut into more parts than that was cut to keep us busy: a hole costs two system calls. */
const MAX_PARTS = 1 << 19;

/** Parts of what ends at `end`; where they are too many the rest is one, whose holes read as zeros. */
export function partsUpTo(parts: Iterable<Extent>, end: number, most = MAX_PARTS): Extent[] {
  const found: Extent[] = [];
  for (const part of parts) {
    if (found.length === most) return [...found, { start: part.start, size: end - part.start }];
    found.push({ start: part.start, size: part.size });
  }
  return found;
}

/** The number of the first extent that ends behind `address`; they ascend and don't overlap. */
export function firstEndingBehind(extents: readonly Extent[], address: number): number {
  return firstPlace(extents.length, (place) => {
    const extent = extents[place];
    return extent !== undefined && extent.start + extent.size > address;
  });
}
