import { MemoryError } from "../errors.js";
import { guestText } from "../guest-text.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { PAGE_SIZE } from "../kernel/page-tables.js";
import type { Task } from "../tasks/index.js";

/** What the guest's memory is used for, in bytes. */
export interface Usage {
  readonly total: number;
  readonly free: number;
  /** What programs could still get, about: as MemAvailable, without the reserve of the caches. */
  readonly available: number;
  readonly slab: number;
  /** The part of the slab that can be freed. */
  readonly reclaimable: number;
  /** Files' pages, shared memory and tmpfs among them. */
  readonly pageCache: number;
  readonly shared: number;
  readonly anonymous: number;
  readonly stacks: number;
  readonly pageTables: number;
  readonly swapTotal: number;
  readonly swapFree: number;
}

/** What a process has in memory. */
export interface Resident {
  readonly pid: number;
  readonly name: string;
  /** In bytes; pages that it shares are counted for each. */
  readonly resident: number;
}

/** Counters that a CPU hasn't added to the sum yet may make it negative. */
const pages = (count: bigint): number => Math.max(0, Number(count)) * PAGE_SIZE;

/** The kernel's sums: what each CPU counted since it last added to them isn't in them. */
export function readUsage(kernel: Kernel): Usage {
  const types = kernel.expectTypes();
  const array = (symbol: string, kind: string) => {
    const at = kernel.expectSymbol(symbol);
    return (name: string): bigint => {
      const index = types.enum(kind)?.get(name);
      if (index === undefined) return 0n;
      return BigInt.asIntN(64, kernel.u64(at + index * 8n));
    };
  };
  const zone = array("vm_zone_stat", "zone_stat_item");
  const node = array("vm_node_stat", "node_stat_item");
  const number = (symbol: string): bigint => {
    const at = kernel.symbols?.address(symbol);
    return at === undefined ? 0n : BigInt.asIntN(64, kernel.u64(at));
  };
  const total = number("_totalram_pages");
  if (total <= 0n) throw new MemoryError("NOT_DESCRIBED", "the kernel doesn't tell its memory");
  const free = zone("NR_FREE_PAGES");
  const files = node("NR_ACTIVE_FILE") + node("NR_INACTIVE_FILE");
  const reclaimable = node("NR_SLAB_RECLAIMABLE_B");
  return {
    total: pages(total),
    free: pages(free),
    available: pages(
      free -
        number("totalreserve_pages") +
        files +
        reclaimable +
        node("NR_KERNEL_MISC_RECLAIMABLE"),
    ),
    slab: pages(reclaimable + node("NR_SLAB_UNRECLAIMABLE_B")),
    reclaimable: pages(reclaimable),
    pageCache: pages(node("NR_FILE_PAGES")),
    shared: pages(node("NR_SHMEM")),
    anonymous: pages(node("NR_ANON_MAPPED")),
    stacks: Math.max(0, Number(node("NR_KERNEL_STACK_KB"))) * 1024,
    pageTables: pages(node("NR_PAGETABLE")),
    swapTotal: pages(number("total_swap_pages")),
    swapFree: pages(number("nr_swap_pages")),
  };
}

/** The processes with memory of their own, those that use most first. */
export function residents(kernel: Kernel, tasks: readonly Task[]): Resident[] {
  const found: Resident[] = [];
  const types = kernel.expectTypes();
  const counters = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SHMEMPAGES"].flatMap((name) => {
    const index = types.constant(name);
    return index === undefined ? [] : [Number(index)];
  });
  for (const { pid, tgid, comm, struct } of tasks) {
    if (pid !== tgid) continue;
    const one = kernel.attempt("a process's memory", () => {
      const mm = struct.follow("mm");
      if (mm === undefined) return undefined;
      const resident = counters.reduce((sum, index) => sum + counter(kernel, mm, index), 0n);
      return { pid, name: guestText(comm), resident: pages(resident) };
    });
    if (one !== undefined) found.push(one);
  }
  return found.sort((a, b) => b.resident - a.resident);
}

/** Until 6.1 one number; since 6.2 a sum, and for each CPU what isn't in it yet. */
function counter(kernel: Kernel, mm: Struct, index: number): bigint {
  const old = `rss_stat.count[${index}].counter`;
  if (mm.has(old)) return mm.i64(old);
  const path = `rss_stat[${index}]`;
  const perCpu = mm.pointer(`${path}.counters`);
  return kernel.presentCpus.reduce(
    (sum, cpu) => sum + BigInt(kernel.i32(kernel.perCpu(perCpu, cpu))),
    mm.i64(`${path}.count`),
  );
}
