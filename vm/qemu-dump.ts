import { setTimeout as sleep } from "node:timers/promises";

const LOOK_MS = 10;

/** QEMU's monitor (QEMU, docs/interop/qmp-spec.rst). */
interface Monitor {
  execute(command: string, args?: object): Promise<unknown>;
}

/**
 * Has QEMU write a core of its guest, in a format of dump-guest-memory. A dump forbids migration while it lasts, and
 * says "completed" before it allows it again: QEMU 11 ends with a failed assertion where the next dump begins between
 * the two. So both are waited for.
 */
export async function dumpGuestMemory(
  monitor: Monitor,
  path: string,
  format: string,
): Promise<void> {
  const dump = { paging: false, protocol: `file:${path}`, format, detach: true };
  await monitor.execute("dump-guest-memory", dump);
  for (;;) {
    const { status } = (await monitor.execute("query-dump")) as { readonly status: string };
    if (status === "completed") break;
    if (status !== "active") throw new Error(`QEMU's dump: ${status}`);
    await sleep(LOOK_MS);
  }
  while ("blocked-reasons" in ((await monitor.execute("query-migrate")) as object)) {
    await sleep(LOOK_MS);
  }
}
