import type { PhysicalMemory } from "./physical-memory.js";

const PAGE_BYTES = 4096;
const SAMPLES = 64;

/** Fewer pages that hold anything tell nothing. */
const LEAST_PAGES = 16;

/** Bits a byte: noise of a page has 7.95 or so, what was compressed as much, text and code up to 6.5. */
const NOISE = 7.8;

/**
 * Whether all is noise, as what is encrypted or compressed is: of the pages that hold anything, some are looked at. In
 * a guest's plain memory few are so.
 */
export function looksEncrypted(memory: PhysicalMemory): boolean {
  const page = Buffer.alloc(PAGE_BYTES);
  const extents = memory.extents();
  const total = extents.reduce((sum, { size }) => sum + size, 0);
  let noise = 0;
  let next = 0;
  let before = 0;
  for (const { start, size } of extents) {
    for (; next < SAMPLES; next++) {
      const at = Math.floor((total * next) / SAMPLES) - before;
      if (at >= size) break;
      const address = start + at - ((start + at) % PAGE_BYTES);
      if (memory.read(address, page) < PAGE_BYTES || page.every((byte) => byte === 0)) continue;
      if (entropyOf(page) < NOISE) return false;
      noise++;
    }
    before += size;
  }
  return noise >= LEAST_PAGES;
}

/** In bits a byte. */
function entropyOf(bytes: Buffer): number {
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  let entropy = 0;
  for (const count of counts) {
    if (count > 0) entropy -= (count / bytes.length) * Math.log2(count / bytes.length);
  }
  return entropy;
}
