import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildDriver, type Target } from "../../vm/build.js";
import { type QemuGuestOptions, qemuGuest } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";

/** The path of the module that crashes as it is asked to. */
export async function crashModule(target: Target): Promise<string> {
  const { path } = await buildDriver(target, {
    directory: join(checkout, "test", "vm", "crash"),
    module: "crash",
  });
  return path;
}

/** A QEMU guest with that module as /crash.ko. Its terminal is off: what counts comes through the device. */
export async function crashGuest(
  kernel: KernelName,
  options: Omit<QemuGuestOptions, "kernel">,
): Promise<string[]> {
  const files = { "crash.ko": readFileSync(await crashModule(kernel)) };
  return qemuGuest({ kernel, files, serial: "none", ...options });
}
