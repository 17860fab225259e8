import { guestText } from "../guest-text.js";
import type { Kernel } from "../kernel/index.js";

/** As uname(2) tells it. */
export interface Identity {
  readonly release: string;
  readonly version: string;
  readonly machine: string;
  /** The host's name of the first namespace. */
  readonly node: string;
}

export function readIdentity(kernel: Kernel): Identity {
  const name = kernel.structAt("uts_namespace", "init_uts_ns").struct("name");
  const text = (member: string) => guestText(name.text(member));
  return {
    ...{ release: text("release"), version: text("version") },
    ...{ machine: text("machine"), node: text("nodename") },
  };
}

/** Whether the kernel is going down in order: it powers off, halts or reboots. */
export function isGoingDown(kernel: Kernel): boolean {
  const symbol = kernel.symbols?.address("system_state");
  const halt = kernel.types?.constant("SYSTEM_HALT");
  return symbol !== undefined && halt !== undefined && BigInt(kernel.u32(symbol)) >= halt;
}

/** The CPU that panics, or did; undefined while none does. */
export function panickedCpu(kernel: Kernel): number | undefined {
  const symbol = kernel.symbols?.address("panic_cpu");
  const cpu = symbol === undefined ? -1 : kernel.i32(symbol);
  // Of a kernel whose memory was overwritten, it may be anything.
  return cpu >= 0 && kernel.presentCpus.includes(cpu) ? cpu : undefined;
}
