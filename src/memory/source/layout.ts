import { MemoryError } from "../errors.js";
import type { Extent } from "../physical-memory.js";

/** Where VMMs put a guest's memory below 4 GiB and above. The names are those of QEMU's machines. */
export type Machine = "q35" | "pc" | "microvm";

export const MACHINES: readonly Machine[] = ["q35", "pc", "microvm"];

const GIB = 2 ** 30;
/** What doesn't fit below the devices' addresses goes on here. */
export const HIGH = 4 * GIB;

/** The most that fits below 4 GiB as one, and what stays there if there is more (QEMU 11.1, `info mtree -f`). */
const LOW: Record<Machine, { readonly most: number; readonly rest: number }> = {
  q35: { most: 0xb0000000 - 1, rest: 2 * GIB },
  pc: { most: 0xe0000000 - 1, rest: 3 * GIB },
  // So do Firecracker and cloud-hypervisor.
  microvm: { most: 3 * GIB, rest: 3 * GIB },
};

/** Where a machine has `size` bytes of memory, in the order in which its memory backend holds them. */
export function layoutOf(machine: Machine, size: number): Extent[] {
  const { most, rest } = LOW[machine];
  if (size <= most) return [{ start: 0, size }];
  return [
    { start: 0, size: rest },
    { start: HIGH, size: size - rest },
  ];
}

/** All layouts that a memory of that size may have, the likeliest first. */
export function layoutsOf(size: number): Extent[][] {
  const all = new Map(
    MACHINES.map((machine) => {
      const layout = layoutOf(machine, size);
      return [JSON.stringify(layout), layout];
    }),
  );
  return [...all.values()];
}

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: GIB };

function bytesOf(text: string): number {
  const [, digits, unit] = /^(0x[0-9a-f]+|[0-9]+)([KMG]?)$/i.exec(text) ?? [];
  return digits === undefined
    ? Number.NaN
    : Number(digits) * (UNITS[unit?.toUpperCase() ?? ""] ?? 1);
}

/**
 * A layout as a user names it: a machine, or addresses and sizes in the order of the file, as in `0+2G,4G+6G`.
 * Throws MemoryError where it says neither or where the file has another size.
 */
export function parseLayout(text: string, size: number): Extent[] {
  const machine = MACHINES.find((name) => name === text);
  if (machine !== undefined) return layoutOf(machine, size);
  const layout = text.split(",").map((part) => {
    const [start = "", length = "", ...more] = part.split("+");
    return { start: more.length > 0 ? Number.NaN : bytesOf(start), size: bytesOf(length) };
  });
  const ascending = [...layout].sort((a, b) => a.start - b.start);
  const isSound = ascending.every(
    (one, i) =>
      Number.isSafeInteger(one.start + one.size) &&
      one.size > 0 &&
      one.start + one.size <= (ascending[i + 1]?.start ?? 2 ** 52),
  );
  if (!isSound) {
    throw new MemoryError(
      "UNSUPPORTED",
      `layout ${JSON.stringify(text)}: it is ${MACHINES.join(", ")}, or START+SIZE,… as in 0+2G,4G+6G`,
    );
  }
  const total = layout.reduce((sum, one) => sum + one.size, 0);
  if (total > size) {
    throw new MemoryError(
      "UNSUPPORTED",
      `layout ${JSON.stringify(text)} has ${total} bytes, and the memory has ${size}`,
    );
  }
  return layout;
}
