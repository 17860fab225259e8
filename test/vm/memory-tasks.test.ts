import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { openMemory } from "../../src/memory/index.js";
import { openKernel } from "../../src/memory/kernel/index.js";
import { Stacks, stackLines } from "../../src/memory/stacks/index.js";
import { readTasks, type Task } from "../../src/memory/tasks/index.js";
import { memoryGuest } from "./memory-guest.js";
import { crashModule, describeGuests, oneOrAll, program } from "./support.js";

/**
 * Some seconds before the kernel prints them, all that sleep do. Then CPU 1 spins, which must not be the one that
 * serves the terminal (an interrupt moves when it comes next), and then the guest dies.
 */
const SCRIPT = `
echo 8 > /proc/sys/kernel/printk
dmesg -n 1
sh -c 'exec sleep 100000' &
sh -c 'echo $$; kill -STOP $$; sleep 1' &
sleep 4
echo t > /proc/sysrq-trigger
for p in /proc/[0-9]*; do cat $p/stat; done > /out/stat
for p in /proc/[0-9]*; do echo "$\{p#/proc/} $(tr '\\0' ' ' < $p/cmdline)"; done > /out/cmdlines
dmesg -r > /out/dmesg
stty raw -F /dev/ttyS1
tar -cz -C /out . -f /dev/ttyS1
echo OUT-DONE
read _
for irq in /proc/irq/*/smp_affinity; do echo 1 > $irq; done 2> /dev/null
echo MOVES; sleep 1; echo MOVED; sleep 1
taskset 2 insmod /crash.ko how=spin-off hang=1 &
taskset 1 sh -c 'sleep 3; echo SPINS; read _; echo c > /proc/sysrq-trigger'
`;

/** What sleeps for so long already, in ns, when the kernel tells of it, didn't run until it was told. */
const SURELY = 1_000_000_000n;

interface Printed {
  readonly pid: number;
  /** In ns since boot. */
  readonly time: bigint;
  readonly lines: string[];
}

/** Each task's stack as sysrq-t prints it, of the registers only where the process goes on. */
function printedStacks(log: string): Printed[] {
  const found: Printed[] = [];
  let isIn = false;
  for (const line of log.split("\n")) {
    const [, seconds, micros, text = ""] = /^<\d+>\[ *(\d+)\.(\d+)\] (.*)$/.exec(line) ?? [];
    const [, pid] = /^task:.{15} state:\S.*? pid:(\d+)/.exec(text) ?? [];
    if (pid !== undefined) {
      const time = (BigInt(seconds ?? 0) * 1_000_000n + BigInt(micros ?? 0)) * 1000n;
      found.push({ pid: Number(pid), time, lines: [] });
    }
    if (/^ <\/?TASK>$/.test(text)) isIn = text === " <TASK>";
    else if (isIn && !/^(?:RSP|RAX|RDX|RBP|R10|R13|Code):/.test(text)) {
      found.at(-1)?.lines.push(text.trim());
    }
  }
  return found;
}

interface ShownStack {
  readonly name: string;
  readonly cpu: number;
  readonly from: string;
  readonly end: string;
  readonly frames: readonly { readonly symbol: string | null; readonly guess: boolean }[];
}

function inspect(...args: readonly string[]): Record<string, unknown> {
  const text = execFileSync(program, ["inspect", ...args, "--json"], { encoding: "utf8" });
  return JSON.parse(text) as Record<string, unknown>;
}

const functions = ({ frames }: ShownStack, guesses = true) =>
  frames
    .filter(({ guess }) => guesses || !guess)
    .map(({ symbol }) => symbol?.replace(/\.cold$/, ""));

describeGuests("tasks and stacks in a guest's memory", () => {
  it.each(oneOrAll(["6.1", "6.12", "7.3"] as const, 0))("%s", async (name) => {
    const files = { "crash.ko": readFileSync(await crashModule(name)) };
    const append = "log_buf_len=4M";
    const guest = await memoryGuest({ kernel: name, script: SCRIPT, files, append });

    const kernel = openKernel(openMemory(guest.memory));
    const { tasks, queues } = readTasks(kernel);
    const byPid = new Map(tasks.map((task) => [task.pid, task]));
    const printed = printedStacks(guest.told("dmesg").toString("latin1"));
    const when = printed[0]?.time ?? 0n;
    // In ns since boot, at the latest: interrupts' time isn't in the task's own.
    const lastRan = ({ struct, cpu }: Task): bigint => {
      const { clock = 0n, taskClock = 0n } = queues.of(cpu) ?? {};
      return struct.u64("se.exec_start") + clock - taskClock;
    };
    const slept = (task: Task) => lastRan(task) + SURELY < when;

    const stats = guest.told("stat").toString("latin1").trimEnd().split("\n");
    let compared = 0;
    for (const stat of stats) {
      const [, pid, comm, state] = /^(\d+) \((.*)\) (\S) /.exec(stat) ?? [];
      const task = byPid.get(Number(pid));
      // The one that printed this is gone.
      if (task === undefined || !slept(task)) continue;
      expect(task.state, stat).toBe(state);
      expect([task.name, task.comm], stat).toContain(comm);
      compared++;
    }
    expect(compared).toBeGreaterThan(40);
    expect(byPid.size).toBeGreaterThanOrEqual(stats.length - 1);
    expect(tasks.filter(({ state }) => state === "T")).toHaveLength(1);
    for (const line of guest.told("cmdlines").toString("latin1").trimEnd().split("\n")) {
      const [, pid, told = ""] = /^(\d+) (.*)$/.exec(line) ?? [];
      const task = byPid.get(Number(pid));
      if (task !== undefined && slept(task)) expect(task.commandLine ?? "").toBe(told.trimEnd());
    }

    const stacks = new Stacks(kernel);
    const same = printed.filter(({ pid, time, lines }) => {
      const task = byPid.get(pid);
      if (task === undefined || lastRan(task) + SURELY > time) return false;
      const stack = stacks.of(task);
      expect(stack.end, `${pid}`).not.toBe("lost");
      expect([...stackLines(stack)], `${pid} ${task.name}`).toEqual(lines);
      return true;
    });
    expect(same.length).toBeGreaterThan(40);
    expect(kernel.notes.lines).toEqual([]);
    kernel.memory.close();

    guest.goOn();
    await guest.printed("SPINS");
    const shown = inspect(guest.memory, "tasks", "stacks", "cpus", "--blocked", "--qmp", guest.qmp);
    const blocked = shown.tasks as { tasks: readonly Record<string, unknown>[] };
    expect(blocked.tasks.map(({ comm }) => comm)).toEqual(["crash"]);
    const [first, second] = (shown.cpus as { cpus: readonly Record<string, unknown>[] }).cpus;
    expect(first).toMatchObject({ cpu: 0 });
    expect(second).toMatchObject({ cpu: 1, interrupts: false, halted: false, name: "insmod" });
    expect(second?.at).toMatch(/^crash_spin\+.* \[crash\]$/);
    const spins = (shown.stacks as { stacks: readonly ShownStack[] }).stacks.find(
      (one) => one.name === "insmod",
    );
    expect(spins).toMatchObject({ from: "registers", end: "user mode", cpu: 1 });
    expect(spins && functions(spins, false).slice(0, 2)).toEqual(["crash_spin", "crash_init"]);
    expect(shown.notes).toEqual([]);

    guest.goOn();
    await guest.ended;
    const { stacks: left } = inspect(guest.memory, "stacks").stacks as {
      stacks: readonly ShownStack[];
    };
    const died = left.find(({ from, cpu }) => from === "longest chain" && cpu === 0);
    expect(died).toMatchObject({ name: "sh", end: "user mode" });
    const chain = died === undefined ? [] : functions(died);
    expect(chain.slice(chain.indexOf("panic"))).toEqual([
      ...["panic", "sysrq_handle_crash", "__handle_sysrq", "write_sysrq_trigger"],
      ...["proc_reg_write", "vfs_write", "ksys_write", "do_syscall_64"],
      ...["entry_SYSCALL_64_after_hwframe", undefined],
    ]);
  });
});
