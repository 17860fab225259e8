import { guestText } from "../guest-text.js";
import type { Kernel } from "../kernel/index.js";

/** The kernel takes 2048 bytes, and what a bootconfig adds. */
const MAX_BYTES = 64 << 10;

/** As /proc/cmdline has it, without the end of the line. */
export function commandLine(kernel: Kernel): string {
  const address = kernel.pointer(kernel.expectSymbol("saved_command_line"));
  return guestText(kernel.text(address, MAX_BYTES));
}
