import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import type { Kernel, Struct } from "../kernel/index.js";
import { Notes } from "../kernel/notes.js";
import { readRingBuffer } from "./ring-buffer.js";

const PAGE = 4096;
const LIST = 0x1000n;
const OFFSETS: Readonly<Record<string, number>> = { time_stamp: 0, commit: 8, data: 16 };

/** Of each CPU so many sub-buffers, the oldest first; each holds its time. */
function kernelWith(counts: readonly number[]): Kernel {
  const ringAt = (cpu: number) => BigInt((cpu + 1) * 0x1_0000_0000);
  const linkAt = (cpu: number, i: number) => ringAt(cpu) + BigInt(i * 64);
  const links = new Map(
    counts.flatMap((count, cpu) =>
      Array.from({ length: count }, (_, i) => {
        // The link to the head page has a flag.
        const next = linkAt(cpu, (i + 1) % count);
        return [linkAt(cpu, i), i + 1 === count ? next | 1n : next] as const;
      }),
    ),
  );
  const pageOf = (link: bigint) =>
    (link & ~0xffffn) + 0x1000_0000n + ((link & 0xffffn) / 64n) * BigInt(PAGE);
  const notes = new Notes();
  return {
    notes,
    attempt: (what: string, read: () => unknown) => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
        notes.add(`${what}: ${error.message}`);
        return undefined;
      }
    },
    expectTypes: () => ({ expect: () => ({ offset: (name: string) => OFFSETS[name] ?? 0 }) }),
    pointer: (at: bigint) => links.get(at) ?? ringAt(Number(at - LIST) / 8),
    struct: (type: string, at: bigint) =>
      type === "buffer_page"
        ? { pointer: () => pageOf(at) }
        : {
            u64: () => 0n,
            follow: () => undefined,
            number: () => counts[Number(at / 0x1_0000_0000n) - 1],
            pointer: () => at,
          },
    read: (at: bigint, length: number) => {
      const bytes = Buffer.alloc(length);
      for (let i = 0; i < length; i += PAGE) {
        bytes.writeBigUInt64LE(at + BigInt(i), i);
        bytes.writeUInt32LE(8, i + 8);
      }
      return bytes;
    },
  } as unknown as Kernel;
}

const bufferOf = (cpus: number) =>
  ({
    has: (name: string) => name === "cpus",
    number: () => cpus,
    pointer: () => LIST,
  }) as unknown as Struct;

test("of a ring buffer that is too large each CPU's newest sub-buffers are copied, and the rest is told", () => {
  const kernel = kernelWith([10, 1, 10]);
  const { cpus } = readRingBuffer(kernel, bufferOf(3), 9 * PAGE);
  // A share that a CPU doesn't need is the others'.
  expect(cpus.map(({ pages }) => pages.length)).toEqual([3, 1, 5]);
  const times = cpus[0]?.pages.map((page) => Number(page.readBigUInt64LE(0) & 0xffffn) / PAGE);
  expect(times).toEqual([7, 8, 9]);
  expect(kernel.notes.take()).toEqual([
    "CPU 0's ring buffer: 7 of its 10 sub-buffers are left out, as it is too large",
    "CPU 2's ring buffer: 5 of its 10 sub-buffers are left out, as it is too large",
  ]);
});
