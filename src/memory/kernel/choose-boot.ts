import { MemoryError, tryToRead } from "../errors.js";
import { looksEncrypted } from "../looks-encrypted.js";
import type { PhysicalMemory } from "../physical-memory.js";
import type { FoundInfo } from "./find-info.js";
import { Kernel } from "./kernel.js";

/** Ticks of an idle guest come now and then, but more often than that. */
const CLOCK_MS = 200;

/** struct timekeeper lies behind a sequence count, which has been 4 to 64 bytes with what aligns it. */
const TIMEKEEPER_AT = [8, 16, 32, 64];

/** Seconds since 1970 that a clock may show: 2001 to 2105. */
const OLDEST = 1n << 30n;
const NEWEST = 1n << 32n;

/**
 * Of the kernels that a memory describes, the one that runs or ran last: after a reset, that of the boot before is
 * whole, too.
 */
export function chooseBoot(memory: PhysicalMemory, found: readonly FoundInfo[]): Kernel {
  const [first, ...others] = found;
  if (first === undefined) throw noKernel(memory);
  if (others.length === 0) return new Kernel(memory, first);
  const { boot, how } = byClock(memory, found);
  const kernel = new Kernel(memory, boot);
  kernel.notes.add(
    `the memory holds ${found.length} boots' kernels: this is ${how} (Linux ${kernel.info.release})`,
  );
  return kernel;
}

function noKernel(memory: PhysicalMemory): MemoryError {
  if (looksEncrypted(memory)) {
    return new MemoryError(
      "ENCRYPTED",
      "there is no Linux in it that can be read: all of it looks encrypted or compressed: it is a guest's with SEV or TDX, or no guest's memory at all",
    );
  }
  return new MemoryError(
    "NO_KERNEL",
    "there is no Linux in it that describes itself (VMCOREINFO): another system, one that has just begun to boot, a kernel without CONFIG_VMCORE_INFO, or an encrypted guest",
  );
}

/** Each kernel is opened by itself: eight at once could take 2 GiB. */
function byClock(
  memory: PhysicalMemory,
  found: readonly FoundInfo[],
): { readonly boot: FoundInfo; readonly how: string } {
  const places = found.map((one) => ticksAt(new Kernel(memory, one)));
  const ticks = () => places.map((at) => (at === undefined ? undefined : ticksOf(memory, at)));
  const before = ticks();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, CLOCK_MS);
  const after = ticks();
  const moved = found.filter((_, i) => after[i] !== before[i]);
  const [mover] = moved;
  if (moved.length === 1 && mover !== undefined) return { boot: mover, how: "the one that runs" };
  const byTime = found
    .map((boot) => ({ boot, time: timeOf(new Kernel(memory, boot)) }))
    .sort((a, b) => Number(b.time - a.time));
  const [newest, second] = byTime;
  if (newest === undefined) throw new MemoryError("NO_KERNEL", "there is no Linux in it");
  const isClear = newest.time !== second?.time;
  return { boot: newest.boot, how: isClear ? "the newest" : "the first that was found" };
}

/** Where the kernel counts its ticks: a physical address. */
function ticksAt(kernel: Kernel): number | undefined {
  // A former boot's memory may have been overwritten.
  return tryToRead(() => kernel.translate(kernel.expectSymbol("jiffies_64")));
}

function ticksOf(memory: PhysicalMemory, at: number): bigint | undefined {
  const bytes = Buffer.alloc(8);
  return tryToRead(() => {
    memory.read(at, bytes);
    return bytes.readBigUInt64LE(0);
  });
}

/** Seconds since 1970 by the guest's own clock; 0 where it can't be had. */
function timeOf(kernel: Kernel): bigint {
  const time = tryToRead(() => {
    const at = kernel.expectSymbol("tk_core");
    const seconds = BigInt(kernel.expectTypes().expect("timekeeper").offset("xtime_sec"));
    const values = TIMEKEEPER_AT.map((skip) => kernel.u64(at + BigInt(skip) + seconds));
    return values.find((value) => value > OLDEST && value < NEWEST);
  });
  return time ?? 0n;
}
