import type { Kernel } from "../kernel/index.js";
import { readRunQueues } from "../tasks/index.js";

/** What changes on a CPU that gets on. Equal at two looks: it did not. */
export interface CpuProgress {
  readonly cpu: number;
  /** Timer interrupts so far. Undefined where the kernel doesn't count them (highres=off), and with nohz_full, which stops the tick. */
  readonly interrupts: bigint | undefined;
  /** When the kernel's own watchdog thread last ran there. Undefined where it is off, for all CPUs or for this one. */
  readonly watchdog: bigint | undefined;
  /** It has nothing to do, so that the watchdog needn't run. */
  readonly isIdle: boolean;
}

/** SOFT_WATCHDOG_ENABLED in watchdog_enabled: a macro of the kernel's source (include/linux/nmi.h). */
const SOFT_WATCHDOG = 2n;

/** Of each CPU that is online. Throws MemoryError where the kernel doesn't describe itself. */
export function readProgress(kernel: Kernel): CpuProgress[] {
  const at = (symbol: string) => kernel.symbols?.address(symbol);
  const [tickless, enabled, touched] = [
    at("tick_nohz_full_running"),
    at("watchdog_enabled"),
    at("watchdog_touch_ts"),
  ];
  const hasTick = tickless === undefined || kernel.u8(tickless) === 0;
  const isEnabled = enabled !== undefined && (kernel.u64(enabled) & SOFT_WATCHDOG) !== 0n;
  const watched = isEnabled ? kernel.cpuMask("watchdog_cpumask") : [];
  const idle = new Map(
    readRunQueues(kernel).list.map(({ cpu, current, idle }) => [cpu, current === idle]),
  );
  return kernel.cpuMask("__cpu_online_mask").map((cpu) => {
    const base = kernel.struct("hrtimer_cpu_base", kernel.perCpuSymbol("hrtimer_bases", cpu));
    const interrupts = base.has("nr_events") ? BigInt(base.number("nr_events")) : 0n;
    const isWatched = touched !== undefined && watched.includes(cpu);
    return {
      cpu,
      interrupts: hasTick && interrupts > 0n ? interrupts : undefined,
      watchdog: isWatched ? kernel.u64(kernel.perCpu(touched, cpu)) : undefined,
      isIdle: idle.get(cpu) === true,
    };
  });
}
