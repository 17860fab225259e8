import type { Kernel } from "../kernel/index.js";

/** A CPU that didn't see to its timer. */
export interface LateCpu {
  readonly cpu: number;
  /** For so long it is due, in nanoseconds. */
  readonly late: bigint;
}

/** A host that is short of CPUs makes timers late, too, but not by so much. */
const LATE = 5_000_000_000n;

/**
 * The CPUs whose next timer was due long ago, by the guest's clock (CLOCK_MONOTONIC): interrupts are off there. It
 * shows while another CPU keeps the clock going.
 */
export function lateCpus(kernel: Kernel, monotonic: bigint): LateCpu[] {
  return kernel.cpuMask("__cpu_online_mask").flatMap((cpu) => {
    const base = kernel.struct("hrtimer_cpu_base", kernel.perCpuSymbol("hrtimer_bases", cpu));
    const late = monotonic - base.i64("expires_next");
    return late >= LATE ? [{ cpu, late }] : [];
  });
}
