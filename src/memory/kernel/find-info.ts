import type { PhysicalMemory } from "../physical-memory.js";
import { UTS_FIELD_BYTES } from "../utsname.js";
import { type AddressSpace, SameAddresses } from "./address-space.js";
import { PAGE_SIZE, PageTables } from "./page-tables.js";
import { VmcoreInfo } from "./vmcore-info.js";

/** VMCOREINFO, and its kernel's address space. */
export interface FoundInfo {
  readonly info: VmcoreInfo;
  readonly tables: AddressSpace;
}

const CHUNK_BYTES = 1 << 20;

/** How VMCOREINFO begins: its note repeats the page's text behind a header of 24 bytes. */
const START = Buffer.from("OSRELEASE=");

/** Files in the page cache may claim to be it, as many as they like: others than the first so many aren't looked at. */
const MAX_CANDIDATES = 10_000;

/** Boots whose kernels may lie in one memory; each that is looked at costs some MiB. */
const MAX_BOOTS = 8;

/** Where Linux maps its own image on x86-64, if KASLR doesn't move it (arch/x86/include/asm/page_64_types.h). */
const START_KERNEL_MAP = 0xffffffff80000000n;

/** In struct new_utsname. */
const RELEASE_AT = 2 * UTS_FIELD_BYTES;

/**
 * The kernels that a memory describes: of the pages that begin as VMCOREINFO does, those whose own page tables lead to
 * the release they say; in user-mode-linux the memory's addresses do. After a reset, the former boot's may be among
 * them.
 */
export function findInfos(memory: PhysicalMemory): FoundInfo[] {
  const found = new Map<string, FoundInfo>();
  let candidates = 0;
  for (const text of pageTexts(memory)) {
    if (++candidates > MAX_CANDIDATES) break;
    if (found.has(text)) continue;
    const one = check(memory, text);
    if (one !== undefined) found.set(text, one);
    if (found.size === MAX_BOOTS) break;
  }
  return [...found.values()];
}

function* pageTexts(memory: PhysicalMemory): Generator<string, void, void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (const { start, size } of memory.extents()) {
    const first = Math.ceil(start / PAGE_SIZE) * PAGE_SIZE;
    for (let at = first; at < start + size; at += CHUNK_BYTES) {
      const length = memory.read(at, chunk.subarray(0, Math.min(CHUNK_BYTES, start + size - at)));
      for (let next = 0; next + PAGE_SIZE <= length; next += PAGE_SIZE) {
        if (chunk[next] !== START[0]) continue;
        const page = chunk.subarray(next, next + PAGE_SIZE);
        if (page.compare(START, 0, START.length, 0, START.length) !== 0) continue;
        const end = page.indexOf(0);
        yield page.toString("latin1", 0, end < 0 ? PAGE_SIZE : end);
      }
    }
  }
}

/** Undefined where it isn't that of a kernel in this memory. */
function check(memory: PhysicalMemory, text: string): FoundInfo | undefined {
  const info = new VmcoreInfo(text);
  const utsname = info.symbol("init_uts_ns");
  const tables = addressSpace(memory, info);
  const nameAt = info.offset("uts_namespace.name") ?? 0;
  if (utsname === undefined || tables === undefined) return undefined;
  const release = Buffer.alloc(UTS_FIELD_BYTES);
  const page = tables.translate(utsname + BigInt(nameAt + RELEASE_AT));
  if (page === undefined || page.size < release.length) return undefined;
  if (memory.read(page.physical, release) < release.length) return undefined;
  const end = release.indexOf(0);
  return release.toString("latin1", 0, Math.max(end, 0)) === info.release
    ? { info, tables }
    : undefined;
}

function addressSpace(memory: PhysicalMemory, info: VmcoreInfo): AddressSpace | undefined {
  const pageDirectory = info.symbol("init_top_pgt") ?? info.symbol("swapper_pg_dir");
  const physBase = info.number("phys_base");
  if (pageDirectory === undefined) return undefined;
  // Only user-mode-linux has none: a processor's kernel was loaded somewhere.
  if (physBase === undefined) return new SameAddresses();
  const encrypted = info.number("sme_mask") ?? 0n;
  const root = BigInt.asIntN(64, pageDirectory - START_KERNEL_MAP + physBase);
  if (root < 0n || root >= 2n ** 52n) return undefined;
  const levels = info.number("pgtable_l5_enabled") === 1n ? 5 : 4;
  return new PageTables(memory, Number(root), levels, encrypted);
}
