import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { PAGE_SIZE } from "../kernel/page-tables.js";
import { committedBytes, type PageLayout } from "./ring-page.js";

/** One CPU's part of a ring buffer. */
export interface CpuBuffer {
  readonly cpu: number;
  /** Its sub-buffers that hold anything, the oldest first: copies, each of a whole sub-buffer. */
  readonly pages: readonly Buffer[];
  /** How many bytes of the first sub-buffer's data a reader in the guest has taken. */
  readonly read: number;
  /** Events that are in it. */
  readonly entries: bigint;
  /** Events that were overwritten. */
  readonly overrun: bigint;
  /** Events that were not written, as the buffer was full and doesn't overwrite, or an interrupt went in between. */
  readonly dropped: bigint;
}

export interface RingBuffer {
  readonly layout: PageLayout;
  /** A sub-buffer's size in bytes. */
  readonly pageSize: number;
  readonly cpus: readonly CpuBuffer[];
}

/** A sub-buffer's header has 16 bytes (struct buffer_data_page). */
const MAX_HEADER = 64;

/** Sub-buffers have at most 2^7 pages (ring_buffer_subbuf_order_set()). */
const MAX_ORDER = 7;

const MAX_CPUS = 8192;

/** A link to the head page, or to one that is becoming it, has a flag in its low bits (RB_PAGE_HEAD, RB_PAGE_UPDATE). */
const LINK_FLAGS = 3n;

/** The most that is copied at once: a guest may say that a ring buffer is of any size. The newest stay. */
export const MAX_COPIED_BYTES = 256 << 20;

/** Sub-buffers that follow each other in memory are read at once, up to so many bytes. */
const MAX_RUN = 4 << 20;

/**
 * Copies a ring buffer (struct trace_buffer). The guest may write into it meanwhile: its sub-buffers don't move, so
 * all are copied first and looked at later. Of `mostBytes` each CPU has the same share, and what others leave of theirs.
 * Throws MemoryError where the kernel doesn't describe it.
 */
export function readRingBuffer(
  kernel: Kernel,
  buffer: Struct,
  mostBytes = MAX_COPIED_BYTES,
): RingBuffer {
  const data = kernel.expectTypes().expect("buffer_data_page");
  const layout: PageLayout = {
    timeStamp: data.offset("time_stamp"),
    commit: data.offset("commit"),
    data: data.offset("data"),
  };
  if (Object.values(layout).some((at) => !(at >= 0 && at <= MAX_HEADER))) {
    throw new MemoryError("DAMAGED", "a sub-buffer's header doesn't fit into it");
  }
  // Before Linux 6.8 all are of one page.
  const order = buffer.has("subbuf_order") ? buffer.number("subbuf_order") : 0;
  const count = buffer.has("cpus")
    ? buffer.number("cpus")
    : kernel.u32(kernel.expectSymbol("nr_cpu_ids"));
  if (order > MAX_ORDER || count > MAX_CPUS) {
    throw new MemoryError(
      "DAMAGED",
      `a ring buffer of ${count} CPUs and sub-buffers of 2^${order} pages`,
    );
  }
  const pageSize = PAGE_SIZE << order;
  const list = buffer.pointer("buffers");
  const seen = new Set<bigint>();
  const cpus: CpuBuffer[] = [];
  const found = Array.from({ length: count }, (_, cpu) => ({
    cpu,
    address: kernel.attempt(`CPU ${cpu}'s ring buffer`, () =>
      kernel.pointer(list + BigInt(cpu * 8)),
    ),
  })).filter(({ address = 0n }) => address !== 0n);
  let left = mostBytes;
  for (const [i, { cpu, address = 0n }] of found.entries()) {
    const one = kernel.attempt(`CPU ${cpu}'s ring buffer`, () => {
      const per = kernel.struct("ring_buffer_per_cpu", address);
      const most = Math.floor(left / (found.length - i) / pageSize);
      return readCpu(kernel, per, { cpu, layout, pageSize, seen, most });
    });
    if (one === undefined) continue;
    left -= one.pages.length * pageSize;
    cpus.push(one);
  }
  return { layout, pageSize, cpus };
}

/** How much of it was copied. */
export const bytesOf = ({ cpus, pageSize }: RingBuffer): number =>
  cpus.reduce((sum, { pages }) => sum + pages.length * pageSize, 0);

interface Wanted {
  readonly cpu: number;
  readonly layout: PageLayout;
  readonly pageSize: number;
  /** Sub-buffers of other CPUs: a guest could name one more than once. */
  readonly seen: Set<bigint>;
  readonly most: number;
}

function readCpu(kernel: Kernel, per: Struct, wanted: Wanted): CpuBuffer {
  const { cpu, layout, pageSize, seen, most } = wanted;
  const entries = per.u64("entries");
  const overrun = per.u64("overrun");
  const reader = per.follow("reader_page");
  const all = [...(reader === undefined ? [] : [reader.pointer("page")]), ...walk(kernel, per)];
  const addresses = all.filter((address) => {
    if (seen.has(address)) return false;
    seen.add(address);
    return true;
  });
  if (addresses.length > most) {
    kernel.notes.add(
      `CPU ${cpu}'s ring buffer: ${addresses.length - most} of its ${addresses.length} sub-buffers are left out, as it is too large`,
    );
  }
  const readerAddress = addresses[0];
  const kept = addresses.slice(Math.max(0, addresses.length - most));
  const copies = copy(kernel, kept, pageSize);
  const pages = kept
    .flatMap((address) => {
      const bytes = copies.get(address);
      if (bytes === undefined || committedBytes(bytes, layout) === 0) return [];
      return [{ address, bytes, time: bytes.readBigUInt64LE(layout.timeStamp) }];
    })
    // One that was written anew while they were copied is the newest; sort() keeps what is of the same time in its order.
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const first = pages[0]?.address;
  const hasReader = reader !== undefined && first !== undefined && first === readerAddress;
  return {
    ...{ cpu, overrun },
    pages: pages.map(({ bytes }) => bytes),
    read: hasReader ? reader.number("read") : 0,
    entries: entries - overrun - per.u64("read"),
    dropped: per.u64("commit_overrun") + per.u64("dropped_events"),
  };
}

/** The sub-buffers of the ring, from the head on to that which is written to. */
function walk(kernel: Kernel, per: Struct): bigint[] {
  const type = kernel.expectTypes().expect("buffer_page");
  const link = BigInt(type.offset("list.next"));
  const offset = BigInt(type.offset("list"));
  const count = per.number("nr_pages");
  const start = per.pointer("pages") & ~LINK_FLAGS;
  const ring: bigint[] = [];
  let head = 0;
  let at = start;
  for (let i = 0; i < count && at !== 0n; i++) {
    const page = kernel.struct("buffer_page", at - offset);
    ring.push(page.pointer("page"));
    const next = kernel.pointer(at - offset + link);
    // The link to the head page has a flag.
    if ((next & LINK_FLAGS) !== 0n) head = i + 1;
    at = next & ~LINK_FLAGS;
    if (at === start) break;
  }
  return [...ring.slice(head), ...ring.slice(0, head)];
}

/** Copies sub-buffers, those that follow each other in memory at once. */
function copy(
  kernel: Kernel,
  addresses: readonly bigint[],
  pageSize: number,
): ReadonlyMap<bigint, Buffer> {
  const copies = new Map<bigint, Buffer>();
  const sorted = [...addresses].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (let i = 0; i < sorted.length; ) {
    const start = sorted[i] ?? 0n;
    let count = 1;
    while (
      (count + 1) * pageSize <= MAX_RUN &&
      sorted[i + count] === start + BigInt(count * pageSize)
    ) {
      count++;
    }
    const bytes = kernel.attempt(`${count} sub-buffers at 0x${start.toString(16)}`, () =>
      kernel.read(start, count * pageSize),
    );
    for (let n = 0; bytes !== undefined && n < count; n++) {
      copies.set(start + BigInt(n * pageSize), bytes.subarray(n * pageSize, (n + 1) * pageSize));
    }
    i += count;
  }
  return copies;
}
