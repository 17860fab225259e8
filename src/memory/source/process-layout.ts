import type { Extent } from "../physical-memory.js";
import { HIGH, layoutOf, layoutsOf } from "./layout.js";
import { ANONYMOUS, type Block } from "./maps.js";
import type { QemuMemory } from "./qemu-arguments.js";

/** A run of guest memory, and where a process has it. */
export interface Placed extends Extent {
  readonly block: Block;
  /** The first byte, from the block's begin. */
  readonly from: number;
}

const GIB = 2 ** 30;

/** The least that is taken for a guest's: no VMM runs a Linux in less, and no stack nor cache of its own is as large. */
const LEAST_BYTES = 32 << 20;

/** Linux takes memory in such steps when it is plugged in (x86-64). */
const PLUGGED_BYTES = 128 << 20;

/** QEMU's machines have no more slots for it. */
const MAX_PLUGGED = 256;

/** What a process's blocks may be as guest memory, the likeliest first; empty where none looks like a guest's. */
export function processLayouts(blocks: readonly Block[], qemu: QemuMemory | undefined): Placed[][] {
  // The later a block was mapped, the lower it lies: the order in which a VMM made them.
  const large = blocks
    .filter(({ size }) => size >= LEAST_BYTES)
    .sort((a, b) =>
      a.file === b.file && a.file !== ANONYMOUS ? a.offset - b.offset : b.start - a.start,
    );
  return qemu === undefined ? otherLayouts(large) : qemuLayouts(large, qemu);
}

function largestOf(blocks: readonly Block[]): Block | undefined {
  return blocks.reduce<Block | undefined>(
    (best, block) => (block.size > (best?.size ?? 0) ? block : best),
    undefined,
  );
}

/** Lays blocks, one after the other, into extents. */
export function place(blocks: readonly Block[], layout: readonly Extent[]): Placed[] {
  const placed: Placed[] = [];
  let next = 0;
  let from = 0;
  for (const { start, size } of layout) {
    for (let done = 0; done < size; ) {
      const block = blocks[next];
      if (block === undefined) return placed;
      const count = Math.min(size - done, block.size - from);
      placed.push({ start: start + done, size: count, block, from });
      done += count;
      from += count;
      if (from < block.size) continue;
      from = 0;
      next++;
    }
  }
  return placed;
}

function qemuLayouts(large: readonly Block[], { machine, main }: QemuMemory): Placed[][] {
  const left = [...large];
  const memory = main.map((size) => {
    const found = left.findIndex((block) => block.size === size);
    return found < 0 ? undefined : left.splice(found, 1)[0];
  });
  const known = memory.filter((block) => block !== undefined);
  if (known.length < main.length || known.length === 0) {
    const largest = largestOf(large);
    if (largest === undefined) return [];
    return [place([largest], layoutOf(machine, largest.size))];
  }
  const total = known.reduce((sum, { size }) => sum + size, 0);
  const placed = place(known, layoutOf(machine, total));
  return [[...placed, ...plugged(left, placed)]];
}

/** DIMMs lie behind the memory above 4 GiB, from a whole GiB on, one behind the other (QEMU 11.1, `info mtree -f`). */
function plugged(blocks: readonly Block[], main: readonly Placed[]): Placed[] {
  const end = Math.max(HIGH, ...main.map(({ start, size }) => start + size));
  let start = Math.ceil(end / GIB) * GIB;
  return blocks
    .filter(({ size }) => size % PLUGGED_BYTES === 0)
    .slice(0, MAX_PLUGGED)
    .map((block) => {
      start += block.size;
      return { start: start - block.size, size: block.size, block, from: 0 };
    });
}

/**
 * Firecracker, cloud-hypervisor and others of their kin map up to 3 GiB, and the rest as another block. The kernel
 * joins the two where they touch, and then either may come first.
 */
function otherLayouts(large: readonly Block[]): Placed[][] {
  const largest = largestOf(large);
  if (largest === undefined) return [];
  const low = large.find(({ size }) => size === 3 * GIB);
  const high = largestOf(large.filter((block) => block !== low));
  if (low !== undefined && high !== undefined) {
    const layout = layoutOf("microvm", low.size + high.size);
    return [place([low, high], layout)];
  }
  const layouts = layoutsOf(largest.size).reverse();
  const [microvm = []] = layouts;
  const [, above] = microvm;
  // The kernel joined them, and the upper one lies first.
  const swapped =
    above === undefined
      ? []
      : [
          [
            { start: 0, size: 3 * GIB, block: largest, from: above.size },
            { ...above, block: largest, from: 0 },
          ],
        ];
  const [first = [], ...others] = layouts.map((layout) => place([largest], layout));
  return [first, ...swapped, ...others];
}
