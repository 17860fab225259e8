import { setImmediate as afterSignals } from "node:timers/promises";
import { MemoryError } from "../errors.js";
import { wholePages } from "../extents.js";
import type { Kernel, VmcoreInfo } from "../kernel/index.js";
import type { Extent } from "../physical-memory.js";
import { type LeftOut, PAGE_BYTES, pagesUpToEnd } from "./pages.js";

/** Kinds of pages that a core may be without. */
export type PageKind = "free" | "cache" | "user";

export const PAGE_KINDS: readonly PageKind[] = ["free", "cache", "user"];

/** makedumpfile's dump levels: 1 pages of zeros, 2 and 4 the cache without and with private data, 8 user, 16 free. */
const LEVELS: Record<PageKind, number> = { cache: 2 | 4, user: 8, free: 16 };

export const levelOf = (kinds: Iterable<PageKind>): number =>
  [...kinds].reduce((sum, kind) => sum | LEVELS[kind], 1);

/** The bits of struct page's fields, of which VMCOREINFO says where they are. */
interface PageLayout {
  readonly bytes: number;
  readonly flags: number;
  readonly mapping: number;
  readonly mapCount: number;
  readonly private: number;
  readonly compound: number;
  readonly lru: bigint;
  readonly swapCache: bigint;
  readonly swapBacked: bigint;
  readonly slab: bigint;
  readonly buddy: number;
  readonly slabCount: number | undefined;
  readonly hugetlb: number | undefined;
}

/** In a tail's compound_head: the rest is where the head is. In mapping: the page is anonymous. */
const TAIL = 1;
const ANONYMOUS = 1;

/** The orders of free blocks on x86-64, and the most that Linux can be built with on any processor (MAX_PAGE_ORDER + 1). */
const ORDERS = 11;
const MAX_ORDERS = 14;

/** struct page has 64 bytes, or some more in kernels that look for faults in themselves. */
const MAX_STRUCT_BYTES = 256;

function layoutOf(info: VmcoreInfo): PageLayout {
  const bit = (name: string): bigint => {
    const number = info.number(name);
    return number === undefined || number < 0n || number > 63n ? 0n : 1n << number;
  };
  const type = (name: string): number | undefined => {
    const value = info.number(name);
    return value === undefined ? undefined : Number(BigInt.asUintN(32, value));
  };
  const buddy = type("PAGE_BUDDY_MAPCOUNT_VALUE");
  if (buddy === undefined) {
    throw new MemoryError(
      "NOT_DESCRIBED",
      "the kernel's VMCOREINFO doesn't say which pages are free",
    );
  }
  const layout: PageLayout = {
    bytes: info.expectSize("page"),
    flags: info.expectOffset("page.flags"),
    mapping: info.expectOffset("page.mapping"),
    mapCount: info.expectOffset("page._mapcount"),
    private: info.expectOffset("page.private"),
    // 7.3 calls it compound_info.
    compound: info.offset("page.compound_info") ?? info.expectOffset("page.compound_head"),
    lru: bit("PG_lru"),
    swapCache: bit("PG_swapcache"),
    swapBacked: bit("PG_swapbacked"),
    slab: bit("PG_slab"),
    buddy,
    slabCount: type("PAGE_SLAB_MAPCOUNT_VALUE"),
    hugetlb: type("PAGE_HUGETLB_MAPCOUNT_VALUE"),
  };
  const { bytes, flags, mapping, mapCount, private: order, compound } = layout;
  if (bytes > MAX_STRUCT_BYTES || Math.max(flags, mapping, mapCount, order, compound) + 8 > bytes) {
    throw new MemoryError(
      "DAMAGED",
      `the kernel's VMCOREINFO says that struct page has ${bytes} bytes, or members behind them`,
    );
  }
  return layout;
}

/** Until 6.11 the value is the whole field; then it is the field's highest byte. */
const hasType = (mapCount: number, type: number | undefined): boolean =>
  type !== undefined &&
  ((type & 0xffffff) === 0 ? mapCount >>> 24 === type >>> 24 : mapCount === type);

/** What is asked of the kernel. */
type PageSource = Pick<Kernel, "info" | "budget" | "read" | "pointer" | "expectSymbol">;

/**
 * Which pages of `extents` the kernel uses for such things. Throws MemoryError where it doesn't describe its pages, and
 * what stops it.
 */
export async function pagesLeftOut(
  kernel: PageSource,
  extents: readonly Extent[],
  kinds: ReadonlySet<PageKind>,
  stop?: AbortSignal,
): Promise<LeftOut> {
  const { info } = kernel;
  const layout = layoutOf(info);
  const pages = info.symbol("vmemmap") ?? kernel.pointer(kernel.expectSymbol("vmemmap_base"));
  const orders = Math.min(info.length("zone.free_area") ?? ORDERS, MAX_ORDERS);
  // A block is told of by its first page, which may hold zeros and so be in no extent. Smaller pieces would only cost more.
  const blockPages = 2 ** (Math.max(orders, ORDERS) - 1);
  const chunks = wholePages(extents, PAGE_BYTES * blockPages);
  const marked = new Bits(pagesUpToEnd(chunks));
  for (const { start, size } of chunks) {
    for (let at = start; at < start + size; at += PAGE_BYTES * blockPages) {
      const first = at / PAGE_BYTES;
      const structs = chunkOf(kernel, pages, layout, first, blockPages);
      if (structs !== undefined) mark(structs, first, layout, kinds, orders, marked);
      await afterSignals();
      stop?.throwIfAborted();
    }
  }
  return (page) => marked.has(page);
}

/** The struct pages of a block; undefined where the kernel has none for it, and so no memory there. */
function chunkOf(
  kernel: PageSource,
  pages: bigint,
  layout: PageLayout,
  first: number,
  count: number,
): Buffer | undefined {
  kernel.budget.renew();
  try {
    return kernel.read(pages + BigInt(first * layout.bytes), count * layout.bytes);
  } catch (error) {
    if (error instanceof MemoryError && error.code === "NOT_MAPPED") return undefined;
    throw error;
  }
}

function mark(
  structs: Buffer,
  first: number,
  layout: PageLayout,
  kinds: ReadonlySet<PageKind>,
  orders: number,
  marked: Bits,
): void {
  let wasMarked = false;
  const count = structs.length / layout.bytes;
  for (let i = 0; i < count; i++) {
    const page = first + i;
    const at = i * layout.bytes;
    // What holds for a compound page's head holds for its tails.
    const isTail = ((structs[at + layout.compound] ?? 0) & TAIL) !== 0;
    if (isTail) {
      if (wasMarked) marked.set(page, 1);
      continue;
    }
    const mapCount = structs.readUInt32LE(at + layout.mapCount);
    if (hasType(mapCount, layout.buddy)) {
      const order = structs.readUInt32LE(at + layout.private);
      wasMarked = false;
      if (order >= orders) continue;
      if (kinds.has("free")) marked.set(page, 2 ** order);
      // The block's other pages say nothing: were they looked at, each could claim as large a block once more.
      i += 2 ** order - 1;
      continue;
    }
    wasMarked = isKind(structs, at, mapCount, layout, kinds);
    if (wasMarked) marked.set(page, 1);
  }
}

function isKind(
  structs: Buffer,
  at: number,
  mapCount: number,
  layout: PageLayout,
  kinds: ReadonlySet<PageKind>,
): boolean {
  if (hasType(mapCount, layout.hugetlb)) return kinds.has("user");
  const flags = structs.readBigUInt64LE(at + layout.flags);
  if ((flags & layout.slab) !== 0n || hasType(mapCount, layout.slabCount)) return false;
  const isAnonymous = ((structs[at + layout.mapping] ?? 0) & ANONYMOUS) !== 0;
  if (isAnonymous) return kinds.has("user");
  const isCache =
    (flags & layout.lru) !== 0n ||
    ((flags & layout.swapBacked) !== 0n && (flags & layout.swapCache) !== 0n);
  return isCache && kinds.has("cache");
}

/** A bit a page. */
class Bits {
  readonly #bytes: Uint8Array;

  constructor(count: number) {
    this.#bytes = new Uint8Array(Math.ceil(count / 8));
  }

  /** Those that lie behind the end aren't kept. */
  set(first: number, count: number): void {
    for (let bit = first; bit < first + count; bit++) {
      const at = Math.floor(bit / 8);
      this.#bytes[at] = (this.#bytes[at] ?? 0) | (1 << (bit % 8));
    }
  }

  has(bit: number): boolean {
    return (((this.#bytes[Math.floor(bit / 8)] ?? 0) >> (bit % 8)) & 1) === 1;
  }
}
