import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { report } from "../../src/cli/inspect/report.js";
import { openMemory } from "../../src/memory/index.js";
import { type Kernel, openKernel } from "../../src/memory/kernel/index.js";
import { deadlockText, type Locks, readLocks, waitText } from "../../src/memory/locks/locks.js";
import { readClock } from "../../src/memory/system/clock.js";
import { commandLine } from "../../src/memory/system/command-line.js";
import { loadedModules } from "../../src/memory/system/loaded-modules.js";
import { readMounts } from "../../src/memory/system/mounts.js";
import { readUsage, residents } from "../../src/memory/system/usage.js";
import { readTasks, readWorkqueues } from "../../src/memory/tasks/index.js";
import { buildDriver } from "../../vm/build.js";
import type { KernelName } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";
import { until } from "../support/patience.js";
import { crashModule } from "./crash-guest.js";
import { HAND_OVER, memoryGuest } from "./memory-guest.js";
import { describeGuests } from "./support.js";

/** A look at all tasks takes some of the machine. */
const LOOK_MS = 500;

/** The shell's pid is 1: it is init. What it does at the end is done when the test says so. */
const script = (end: string): string => `
mkdir -p "/mnt/a b" /mnt/c /mnt/d
mount -t tmpfs -o size=1m,nosuid,noexec tmp "/mnt/a b"
mkdir "/mnt/a b/deep"
mount --bind "/mnt/a b/deep" /mnt/c
mount -t tmpfs -o ro,nodev,noatime,sync tmp /mnt/d
insmod /lock.ko
sleep 2
cat /proc/mounts > /out/mounts
cat /proc/modules > /out/modules
cat /proc/cmdline > /out/cmdline
cat /proc/1/statm > /out/statm
date +%s > /out/date
cat /proc/meminfo > /out/meminfo
cat /proc/uptime > /out/uptime
${HAND_OVER.replace("sleep 100000", "read _")}
${end}`;

/** Ways to go on that look wrong. */
const OUT_OF_MEMORY = `
echo 1 > /proc/sys/vm/panic_on_oom
mkdir -p /mnt/full
mount -t tmpfs -o size=100% full /mnt/full
available() { sed -n 's/MemAvailable: *\\([0-9]*\\).*/\\1/p' /proc/meminfo; }
dd if=/dev/zero of=/mnt/full/zeros bs=1M count=$(($(available) / 1024 - 16)) 2> /dev/null
until [ $(available) -lt 8000 ]; do
  dd if=/dev/zero bs=64k count=4 >> /mnt/full/zeros 2> /dev/null
done
echo STALLS
read _
dd if=/dev/zero bs=64k >> /mnt/full/zeros
`;

const SPIN = "echo 1 > /sys/module/lock/parameters/spin; insmod /crash.ko how=spin\n";

const WORKQUEUES = [
  /^ {2}workqueue: kworker\/u.*\+lock_queue \([0-9]+\) in lock_stuck \[lock\] for [0-9]+ s, and 1 wait in lock_queue$/m,
  /^ {2}workqueue: CPU [01] has begun no work for [0-9]+ s, and [0-9]+ wait, the first for [a-z]\w+$/m,
  /^ {2}workqueue: kworker\/[01]:.*\+events \([0-9]+\) in lock_spin \[lock\] for [0-9]+ s$/m,
];

const openGuest = (source: string | number): Kernel => {
  const kernel = openKernel(openMemory(source));
  onTestFinished(() => {
    kernel.memory.close();
  });
  return kernel;
};

const tasksOf = (kernel: Kernel) => readTasks(kernel).tasks;

/** The generic flags of /proc/mounts; the others are the file system's own. */
const GENERIC =
  /^(?:r[ow]|sync|dirsync|mand|lazytime|nosuid|nodev|noexec|noatime|nodiratime|relatime|nosymfollow)$/;

const withoutOptions = (line: string): string => {
  const [device, place, type, flags = ""] = line.split(" ");
  const generic = flags.split(",").filter((flag) => GENERIC.test(flag));
  return [device, place, type, generic.join(",")].join(" ");
};

const linesOf = (text: Buffer): string[] => text.toString().trimEnd().split("\n");

/** Name, size, uses and users, as /proc/modules has them. */
const modulesOf = (kernel: Kernel): string[] =>
  loadedModules(kernel).map(({ name, size, uses, usedBy, isPermanent }) => {
    const users = [...usedBy, ...(isPermanent ? ["[permanent]"] : [])];
    const list = users.length === 0 ? "-" : users.map((user) => `${user},`).join("");
    return `${name} ${size} ${uses} ${list} Live`;
  });

function expectMemory(kernel: Kernel, told: Buffer): void {
  const usage = readUsage(kernel);
  const kib = (name: string) =>
    Number(new RegExp(`^${name}: +([0-9]+) kB$`, "m").exec(told.toString())?.[1]) * 1024;
  expect(usage.total).toBe(kib("MemTotal"));
  // Packing what was told took some.
  const near = (found: number, name: string) => {
    expect(Math.abs(found - kib(name)), `${name} ${kib(name)}, found ${found}`).toBeLessThan(
      16 << 20,
    );
  };
  near(usage.free, "MemFree");
  near(usage.available, "MemAvailable");
  near(usage.pageCache, "Cached");
  near(usage.slab, "Slab");
  near(usage.anonymous, "AnonPages");
  expect(usage.slab).toBeGreaterThan(kib("Slab") / 2);
  expect(usage.stacks).toBeGreaterThan(kib("KernelStack") / 2);
  expect(usage.pageTables).toBeGreaterThan(0);
}

/** Waits until each of the module's threads waits for its lock. */
async function lockedUp(kernel: Kernel): Promise<Locks> {
  let found: Locks = { waits: [], deadlocks: [] };
  await until(
    () => {
      kernel.budget.renew();
      kernel.forget();
      found = readLocks(kernel, tasksOf(kernel));
      return found.waits.length >= 8;
    },
    () => found.waits.map(waitText).join("\n"),
    () => sleep(LOOK_MS),
  );
  return found;
}

/** Without pids and addresses. */
const plain = (text: string): string =>
  text.replace(/ \([0-9]+\)/g, "").replace(/0x[0-9a-f]{16}/g, "ADDRESS");

const pageOf = async (kernel: Kernel): Promise<string> => {
  kernel.budget.renew();
  // Threads that began since the last look have stacks where nothing was.
  kernel.forget();
  const source = { source: "", memory: kernel.memory, kernel, notes: kernel.notes, options: {} };
  return [...(await report.show(source)).lines].join("\n");
};

async function lockModule(kernel: KernelName): Promise<Buffer> {
  const directory = join(checkout, "test", "vm", "lock");
  const { path, log } = await buildDriver(kernel, { directory, module: "lock" });
  expect(log).not.toMatch(/warning: /);
  return readFileSync(path);
}

describeGuests("what a person looks at first in a guest's memory", () => {
  it.each([
    ["6.1", OUT_OF_MEMORY],
    ["6.12", SPIN],
    ["7.3", SPIN],
  ] as const)("%s", async (name, end) => {
    const files = {
      "lock.ko": await lockModule(name),
      "crash.ko": readFileSync(await crashModule(name)),
    };
    const guest = await memoryGuest({ kernel: name, files, script: script(end) });
    const kernel = openGuest(guest.memory);
    const mounts = readMounts(kernel, tasksOf(kernel)).map(
      ({ device, place, type, flags }) =>
        `${device} ${place.replaceAll(" ", "\\040")} ${type} ${flags.join(",")}`,
    );
    expect(mounts).toEqual(linesOf(guest.told("mounts")).map(withoutOptions));
    expect(mounts).toContain("tmp /mnt/c tmpfs rw,nosuid,noexec,relatime");
    const modules = linesOf(guest.told("modules")).map((line) => line.replace(/ 0x.*/, ""));
    expect(modulesOf(kernel)).toEqual(modules);
    expect(modules.join()).toContain("[permanent]");
    expect(`${commandLine(kernel)}\n`).toBe(guest.told("cmdline").toString());
    expectMemory(kernel, guest.told("meminfo"));

    const pages = Number(guest.told("statm").toString().split(" ")[1]);
    const init = residents(kernel, tasksOf(kernel)).find(({ pid }) => pid === 1);
    // A thread's first 64 pages or so may not be counted yet (6.1).
    expect(Math.abs((init?.resident ?? 0) / 4096 - pages)).toBeLessThan(65);

    const clock = readClock(kernel);
    const uptime = Number(guest.told("uptime").toString().split(" ")[0]);
    const passed = Number(clock.sinceBoot) / 1e9 - uptime;
    expect(passed).toBeGreaterThanOrEqual(-0.1);
    const date = Number(guest.told("date").toString());
    expect(Math.abs(Number(clock.now) / 1e9 - date - passed)).toBeLessThan(2);

    const { waits, deadlocks } = await lockedUp(kernel);
    const circle = deadlocks.map((waiting) => plain(deadlockText(waiting)));
    expect(circle).toEqual([
      "lock-first waits for mutex lock_b [lock], held by lock-second, which waits for mutex lock_a [lock], held by lock-first",
    ]);
    expect(waits.map((wait) => plain(waitText(wait))).sort()).toEqual([
      "lock-allocated waits for mutex ADDRESS, held by lock-keeper",
      "lock-first waits for mutex lock_b [lock], held by lock-second",
      "lock-late waits for mutex ADDRESS, held by lock-keeper",
      "lock-reader waits for rw_semaphore lock_written [lock], held by lock-keeper",
      "lock-rt waits for rt_mutex lock_rt [lock], held by lock-keeper",
      "lock-second waits for mutex lock_a [lock], held by lock-first",
      name === "7.3"
        ? "lock-semaphore waits for semaphore lock_semaphore [lock], last taken by lock-keeper"
        : "lock-semaphore waits for semaphore lock_semaphore [lock], which doesn't say who holds it",
      "lock-writer waits for rw_semaphore lock_read [lock], held by a reader, the last to take it was lock-keeper",
    ]);

    const { busy } = readWorkqueues(kernel, tasksOf(kernel));
    expect(busy.filter(({ work }) => work.includes("lock"))).toMatchObject([
      { work: "lock_stuck [lock]", queue: "lock_queue", waiting: 1 },
    ]);

    const page = await pageOf(kernel);
    expect(page).toContain(`Linux    ${kernel.info.release}\n`);
    expect(plain(page)).toContain(`deadlock: ${circle[0] ?? ""}`);
    expect(page).not.toContain("hardly any memory");
    expect(page).not.toContain("interrupts are off");
    guest.goOn();
    if (end === OUT_OF_MEMORY) {
      await guest.printed("STALLS");
      expect(await pageOf(kernel)).toMatch(
        /^ {2}hardly any memory is available: [0-9.]+[KM] of [0-9.]+M; most have tmpfs and shared memory [0-9.]+M, /m,
      );
      guest.goOn();
      await guest.ended;
      const last = await pageOf(openGuest(guest.memory));
      expect(last).toMatch(/^ {2}it panicked, on CPU [01]$/m);
      expect(last).toMatch(/^ {2}its log ends in a crash: .*out of memory/im);
      expect(last).toMatch(/^ {2}hardly any memory is available: [0-9.]+[KM] of /m);
      expect(plain(last)).toContain(`deadlock: ${circle[0] ?? ""}`);
      return;
    }
    let last = "";
    await until(
      () =>
        /^ {2}CPU [01] has seen to no timer for [0-9]+ s/m.test(last) &&
        /^ {2}blocked: .*lock-.* for [0-9]+ s, .*, and [0-9]+ more: view tasks$/m.test(last) &&
        WORKQUEUES.every((line) => line.test(last)),
      () => last,
      async () => {
        await sleep(LOOK_MS);
        last = await pageOf(kernel);
      },
    );
    expect(last).toMatch(/^CPU [01] +insmod \([0-9]+\)$/m);
    expect(kernel.notes.lines).toEqual([]);
  });
});
