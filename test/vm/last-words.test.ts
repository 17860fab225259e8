import { join } from "node:path";
import { expect, it } from "vitest";
import type { KernelName } from "../../vm/kernel.js";
import {
  crashGuest,
  describeGuests,
  qemuDevice,
  recordNames,
  serve,
  startGuest,
  temporaryFolder,
  textOf,
} from "./support.js";

/**
 * Starts a guest with `script`.
 *
 * @returns A way to wait for what its console's record is to hold. The kernel's own watchdogs may
 *   add lines behind those at any time.
 */
async function start(kernel: KernelName, cpus: number, script: string) {
  const folder = temporaryFolder();
  const socket = join(folder, "socket");
  const directory = join(folder, "crashes");
  await serve("--console", "--socket-path", socket, "--directory", directory);
  startGuest([
    ...(await crashGuest(kernel, {
      script: `${script}\n`,
      append: "loglevel=7",
      arguments: ["-smp", `${cpus}`],
    })),
    ...qemuDevice(socket),
  ]);
  const console = () =>
    recordNames(directory).length === 0 ? "" : textOf(directory, "console")[0];
  return (text: RegExp) => expect.poll(console, { timeout: 150_000, interval: 100 }).toMatch(text);
}

describeGuests("a CPU that hangs with its interrupts off", () => {
  it.each(["6.12", "7.3"] as const)(
    "Linux %s: what it printed before they were off is on the host",
    async (kernel) => {
      const has = await start(kernel, 1, "insmod /crash.ko how=spin");
      await has(/crash: spins\n/);
    },
  );

  // Here the driver is called for a message that is in the log already.
  it("Linux 6.1: so is what it printed when they were off", async () => {
    const has = await start("6.1", 1, "insmod /crash.ko how=spin-off");
    await has(/crash: spins\n/);
  });

  it.each(["6.1", "6.12", "7.3"] as const)(
    "Linux %s, two CPUs: the other one sends it, and then its own lines",
    async (kernel) => {
      const has = await start(
        kernel,
        2,
        `taskset 2 insmod /crash.ko how=spin-off &
        taskset 1 sh -c 'sleep 15; for n in 1 2 3; do echo "the other one: $n" > /dev/kmsg; done; sleep 99'`,
      );
      await has(/crash: spins\n(?!.*the other one)/s);
      await has(/the other one: 1\n.*the other one: 2\n.*the other one: 3\n/s);
    },
  );
});
