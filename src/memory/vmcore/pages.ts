import { MemoryError } from "../errors.js";
import { firstEndingBehind, merged, wholePages } from "../extents.js";
import type { Extent, PhysicalMemory } from "../physical-memory.js";

export const PAGE_BYTES = 4096;

/** So much is read at once: the cost of a system call is small against it, and it stays in the caches. */
const CHUNK_BYTES = 1 << 20;

/** A bit a page is kept of memory up to 4 TiB: a core may claim that it goes on to any address. */
const MAX_PAGES = 2 ** 30;

const ZEROS = Buffer.alloc(PAGE_BYTES);

/** Pages that a core needn't have, by page number. */
export type LeftOut = (page: number) => boolean;

/** Pages that are written, one after the other. */
export interface Run {
  readonly address: number;
  /** Good until the next run is asked for. */
  readonly bytes: Buffer;
}

/** The memory's regions as whole pages. */
export const regionsOf = (memory: PhysicalMemory): Extent[] =>
  wholePages(memory.regions, PAGE_BYTES);

/** The pages up to the last one's end, to have a bit for each. Throws MemoryError where they are too many. */
export function pagesUpToEnd(pages: readonly Extent[]): number {
  const last = pages.at(-1);
  const count = last === undefined ? 0 : (last.start + last.size) / PAGE_BYTES;
  if (count <= MAX_PAGES) return count;
  throw new MemoryError(
    "UNSUPPORTED",
    `its memory goes on to ${count * PAGE_BYTES} bytes: that far only an ELF core without --filter can be written`,
  );
}

/** The pages that hold anything but zeros and aren't left out, ascending, at most 1 MiB a run. */
export function* pagesOf(
  memory: PhysicalMemory,
  extents: readonly Extent[],
  leftOut: LeftOut = () => false,
): Generator<Run, void, void> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (const { start, size } of extents) {
    for (let at = start; at < start + size; at += CHUNK_BYTES) {
      const bytes = chunk.subarray(0, Math.min(CHUNK_BYTES, start + size - at));
      readPages(memory, at, bytes);
      yield* runsOf(at, bytes, leftOut);
    }
  }
}

/** What holds anything, as whole pages. */
export const extentsOf = (memory: PhysicalMemory): Extent[] =>
  merged(wholePages(memory.extents(), PAGE_BYTES));

/** A region may begin or end within a page: the rest of that is zeros. */
function readPages(memory: PhysicalMemory, address: number, into: Buffer): void {
  const count = memory.read(address, into);
  if (count === into.length) return;
  into.fill(0, count);
  const { regions } = memory;
  const end = address + into.length;
  for (let i = firstEndingBehind(regions, address + count); ; i++) {
    const region = regions[i];
    if (region === undefined || region.start >= end) return;
    const from = Math.max(region.start, address + count);
    const to = Math.min(region.start + region.size, end);
    memory.read(from, into.subarray(from - address, to - address));
  }
}

function* runsOf(address: number, bytes: Buffer, leftOut: LeftOut): Generator<Run, void, void> {
  let begin = -1;
  for (let at = 0; at <= bytes.length; at += PAGE_BYTES) {
    const isWritten =
      at < bytes.length &&
      !leftOut((address + at) / PAGE_BYTES) &&
      ZEROS.compare(bytes, at, at + PAGE_BYTES) !== 0;
    if (isWritten === begin >= 0) continue;
    if (isWritten) begin = at;
    else {
      yield { address: address + begin, bytes: bytes.subarray(begin, at) };
      begin = -1;
    }
  }
}
