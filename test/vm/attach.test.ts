import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { Qmp } from "../../src/formats/erst/qmp.js";
import { buildDriver } from "../../vm/build.js";
import { qemuGuest } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";
import { until } from "../support/patience.js";
import { HAND_OVER, memoryGuest } from "./memory-guest.js";
import {
  crashModule,
  describeGuests,
  program,
  recordNames,
  startGuest,
  temporaryFolder,
  textOf,
} from "./support.js";

/** Less than by default: what hangs here does so for ever. */
const HANG_AFTER = ["--hang-after", "8"];

/** `virtio-pstore attach`, and what it tells. */
function attach(...args: readonly string[]) {
  const child = spawn(program, ["attach", ...args], { stdio: ["ignore", "ignore", "pipe"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const ended = new Promise<{ status: number | null; log: string }>((resolve) => {
    child.on("close", (status) => {
      resolve({ status, log });
    });
  });
  return {
    ended,
    tells: (pattern: RegExp) =>
      until(
        () => pattern.test(log),
        () => `attach never told ${pattern}:\n${log}`,
      ),
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

async function lockModule(kernel: KernelName): Promise<Buffer> {
  const directory = join(checkout, "test", "vm", "lock");
  const { path } = await buildDriver(kernel, { directory, module: "lock" });
  return readFileSync(path);
}

/** The oldest first. */
const titlesIn = (directory: string): string[] => {
  const text = execFileSync(program, ["list", "--json", directory]).toString();
  const listed = JSON.parse(text) as readonly { readonly title: string; readonly kind: string }[];
  return listed.filter(({ kind }) => kind !== "ended").map(({ title }) => title);
};

/** The last way in which the guest's VMM went away. */
const lastEnd = (directory: string): string | undefined =>
  readFileSync(join(directory, ".ends"), "utf8").trimEnd().split("\n").at(-1)?.split(" ")[2];

describeGuests("a guest without a driver is watched from outside", () => {
  it("Linux 6.1: a CPU with its interrupts off is a crash, once, and kill -9 is no panic", async () => {
    const directory = temporaryFolder();
    const argv = await qemuGuest({
      ...{ kernel: "6.1", driver: false, bzImage: true },
      script: "echo READY; read _; insmod /crash.ko how=spin",
      files: { "crash.ko": readFileSync(await crashModule("6.1")) },
      arguments: ["-smp", "2"],
    });
    const guest = startGuest(argv);
    const attached = attach("--pid", `${guest.pid}`, "--directory", directory, ...HANG_AFTER);
    await attached.tells(/Linux 6\.1\S* is watched/);
    await guest.printed("READY");
    guest.goOn();
    await attached.tells(/stored .*dmesg-/);
    // Two looks more.
    await sleep(5000);
    process.kill(guest.pid, "SIGKILL");
    const { status, log } = await attached.ended;
    expect(status).toBe(0);
    expect(log).toMatch(/process [0-9]+ ended, or unmapped the guest's memory/);
    expect(titlesIn(directory)).toEqual([
      expect.stringMatching(/^hung: CPU [01] with interrupts off in do_init_module$/),
    ]);
    const text = execFileSync(program, ["show", "--dmesg", directory]).toString();
    expect(text).toMatch(/virtio-pstore: hung: CPU [01] with interrupts off: insmod:[0-9]+$/m);
    expect(text).toMatch(/ crash_init\+0x[0-9a-f]+\/0x[0-9a-f]+ \[crash\]$/m);
    // Its memory went with it: it may have powered off in the last moment.
    expect(lastEnd(directory)).toBe("unknown");
  });

  it("Linux 6.12: a deadlock is a crash; its console is dmesg's, once, whoever watched it", async () => {
    const directory = temporaryFolder();
    const guest = await memoryGuest({
      kernel: "6.12",
      quiet: true,
      files: { "lock.ko": await lockModule("6.12") },
      script: `echo "<6>told until here" > /dev/kmsg\ndmesg -r > /out/dmesg\n${HAND_OVER.replace(
        "sleep 100000",
        "read _; insmod /lock.ko; read _; echo c > /proc/sysrq-trigger",
      )}`,
    });
    const args = ["--pid", `${guest.pid}`, "--directory", directory, ...HANG_AFTER];
    const first = attach(...args);
    await first.tells(/is watched/);
    guest.goOn();
    await first.tells(/stored .*dmesg-/);
    expect((await first.stop()).status).toBe(0);
    const second = attach(...args);
    await second.tells(/is watched/);
    // It hangs as before, which is known: two looks and one more.
    await sleep(6000);
    guest.goOn();
    const { status, log } = await second.ended;
    expect(status).toBe(0);
    expect(log).not.toContain("NO_DUMP");
    const deadlock =
      "deadlock: lock-first waits for lock_b [lock] held by lock-second, lock-second for lock_a [lock] held by lock-first";
    expect(titlesIn(directory)).toEqual([deadlock, "kernel panic: sysrq triggered crash"]);
    const told = guest.told("dmesg").toString();
    const end = told.indexOf("told until here\n");
    const consoles = textOf(directory, "console");
    expect(consoles).toHaveLength(1);
    expect(consoles[0]?.slice(0, end)).toBe(told.slice(0, end));
    expect(consoles[0]?.match(/told until here/g)).toHaveLength(1);
    expect(consoles[0]).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(lastEnd(directory)).toBe("dumped");
  });

  it("Linux 7.3: reset, it is watched on, out of its file; a busy program is no hang, a stuck workqueue is", async () => {
    const directory = temporaryFolder();
    const guest = await memoryGuest({
      // What a panic is told by may be overwritten by the next boot at the same place.
      ...{ kernel: "7.3", reboots: true, append: "nokaslr" },
      files: { "lock.ko": await lockModule("7.3") },
      script: `echo 1 > /proc/sys/kernel/unknown_nmi_panic
while :; do :; done &
sleep 1
${HAND_OVER.replace("sleep", "read _; insmod /lock.ko locks=0; echo 1 > /sys/module/lock/parameters/spin; sleep")}`,
    });
    const attached = attach("--memory", guest.memory, "--directory", directory, ...HANG_AFTER);
    await attached.tells(/Linux 7\.3\S* is watched/);
    const qmp = await Qmp.open(guest.qmp, AbortSignal.timeout(60_000));
    await qmp.execute("system_reset");
    await attached.tells(/the guest booted again: Linux 7\.3/);
    await until(
      () => guest.output().split("OUT-DONE").length === 3,
      () => guest.output(),
    );
    // A program that takes a CPU for longer than the limit.
    await sleep(12_000);
    expect(titlesIn(directory)).toEqual([]);
    guest.goOn();
    await attached.tells(/stored .*dmesg-/);
    await qmp.execute("inject-nmi");
    await attached.tells(/stored .*dmesg-[\s\S]*stored .*dmesg-/);
    qmp.close();
    process.kill(guest.pid, "SIGKILL");
    expect((await attached.stop()).status).toBe(0);
    expect(titlesIn(directory)).toEqual([
      "workqueue hung in lock_spin [lock]",
      expect.stringMatching(/panic/),
    ]);
    expect(recordNames(directory).filter((name) => name.startsWith("console"))).toHaveLength(2);
  });

  it("Linux 6.1: busy without a tick to count, then rebooting in order, it neither hangs nor panics", async () => {
    const directory = temporaryFolder();
    const guest = await memoryGuest({
      kernel: "6.1",
      append: "nokaslr highres=off nohz_full=1",
      script: `taskset 2 sh -c 'while :; do :; done' &\n${HAND_OVER.replace("sleep 100000", "read _; reboot -f")}`,
    });
    const attached = attach("--pid", `${guest.pid}`, "--directory", directory, ...HANG_AFTER);
    await attached.tells(/is watched/);
    // Longer than the limit.
    await sleep(12_000);
    guest.goOn();
    expect(await attached.ended).toEqual({ status: 0, log: expect.not.stringContaining("stored") });
    expect(titlesIn(directory)).toEqual([]);
    expect(lastEnd(directory)).toBe("stopped");
  });

  it.each([
    ["a panic that ends the VMM at once", "echo c > /proc/sysrq-trigger", "dumped"],
    ["kill -9", "read _", "without-dump"],
  ])("held at its exit, a VMM shows what it had in memory of its own: %s", async (_, end, kind) => {
    const directory = temporaryFolder();
    const script = `echo "<6>the last line" > /dev/kmsg; echo READY; read _; ${end}`;
    const argv = await qemuGuest({ kernel: "6.12", driver: false, bzImage: true, script });
    const guest = startGuest(argv);
    // Between the begin and the exit it isn't looked at.
    const args = ["--pid", `${guest.pid}`, "--directory", directory, "--poll", "60000", "--hold"];
    const attached = attach(...args);
    await guest.printed("READY");
    if (kind === "dumped") guest.goOn();
    else process.kill(guest.pid, "SIGKILL");
    const { status, log } = await attached.ended;
    expect([status, log]).toEqual([0, expect.stringContaining("Linux 6.12")]);
    await guest.ended;
    expect(textOf(directory, "console").join("")).toContain("the last line\n");
    expect(titlesIn(directory)).toEqual(
      kind === "dumped" ? ["kernel panic: sysrq triggered crash"] : [],
    );
    expect(lastEnd(directory)).toBe(kind);
  });
});
