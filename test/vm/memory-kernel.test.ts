import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openMemory } from "../../src/memory/index.js";
import { type Kernel, openKernel } from "../../src/memory/kernel/index.js";
import { KernelLog, logText } from "../../src/memory/log.js";
import { readTasks } from "../../src/memory/tasks/index.js";
import { AT, TAG } from "../../src/memory/vmlinux/dwarf-numbers.js";
import { linkedAddress } from "../../src/memory/vmlinux/sections.js";
import { drgn, drgnPart } from "../../vm/drgn.js";
import { qemuGuest } from "../../vm/guest.js";
import { ensure } from "../../vm/part.js";
import { until } from "../support/patience.js";
import { readDwarf } from "../support/read-dwarf.js";
import { ElfReader } from "../support/read-elf.js";
import { HAND_OVER, memoryGuest } from "./memory-guest.js";
import { describeGuests, oneOrAll, program, startGuest, temporaryFolder } from "./support.js";

/** Files that claim to be VMCOREINFO, which stay in the page cache. */
const LIES = `
lie() {
  { printf 'OSRELEASE=%s\\nPAGESIZE=4096\\nSYMBOL(init_uts_ns)=%s\\nOFFSET(uts_namespace.name)=0\\n' "$1" "$2"
    printf 'SYMBOL(swapper_pg_dir)=%s\\nNUMBER(phys_base)=%s\\nNUMBER(pgtable_l5_enabled)=%s\\n' "$3" "$4" "$5"
    printf 'KERNELOFFSET=0\\nlie %s\\n' "$6"; } > /lies/$6
}
mkdir -p /lies
n=0
while [ $n -lt 300 ]; do
  lie $(uname -r) ffffffff82$((n % 10))00000 ffffffff8$((n % 7))010000 $((n * 4096 * 1024)) $((n % 2)) $n
  n=$((n + 1))
done
lie ../../etc ffffffff81000000 ffffffffffffffff 99999999999999999999 1 $n
`;

const SCRIPT = `${LIES}
printf 'tab\\there, two lines\\nof one message' > /dev/kmsg
echo "<2>critical" > /dev/kmsg
cat /proc/kallsyms > /out/kallsyms
grep -c . /proc/modules > /out/modules
dmesg -r > /out/dmesg
${HAND_OVER}`;

const inspected = (...args: readonly string[]) =>
  spawnSync(program, ["inspect", ...args], { encoding: "utf8", maxBuffer: 16 << 20 });

const logOf = (kernel: Kernel) =>
  Buffer.concat([...logText(new KernelLog(kernel).entries())].map((text) => Buffer.from(text)));

/** As /proc/kallsyms has them. */
const kallsymsOf = (kernel: Kernel) =>
  [...(kernel.symbols?.all() ?? [])].map(
    ({ address, type, name, module }) =>
      `${address.toString(16).padStart(16, "0")} ${type} ${name}${module === undefined ? "" : `\t[${module}]`}`,
  );

/** What isn't vmlinux's nor a module's: trampolines and programs that the kernel made. */
const isMade = (line: string) => /\t\[(?:__builtin__\w+|bpf)\]$/.test(line);

/** Where VMCOREINFO and BTF tell of the same thing, they say the same. */
function compareTypes({ info, types }: Kernel): number {
  let compared = 0;
  for (const name of info.names("SIZE")) {
    const size = types?.size(name);
    if (size === undefined) continue;
    expect(size, name).toBe(info.size(name));
    compared++;
  }
  for (const name of info.names("OFFSET")) {
    const [structure = "", member = ""] = name.split(".");
    const field = types?.struct(structure)?.field(member);
    if (field === undefined) continue;
    expect(field.offset, name).toBe(info.offset(name));
    compared++;
  }
  return compared;
}

const inspect = (...args: readonly string[]): string =>
  execFileSync(program, ["inspect", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });

/** Tells what drgn finds: tasks, the log, a sleeping task's stack, and where each CPU is. */
const DRGN_SCRIPT = `
import json
from drgn.helpers.linux import *
stack = lambda task: [frame.name for frame in prog.stack_trace(task)]
print(json.dumps({
    "tasks": sorted(t.pid.value_() for t in for_each_task(prog)),
    "log": get_dmesg(prog).decode(),
    "kthreadd": stack(find_task(prog, 2)),
    "cpus": [stack(cpu_curr(prog, cpu)) for cpu in for_each_present_cpu(prog)],
    "mounts": [mount_dst(mount).decode() for mount in for_each_mount(prog)],
}))
`;

/** What a vmlinux that was written has is what the guest and BTF say, and drgn reads the core with it. */
async function expectVmlinux(kernel: Kernel, core: string, told: readonly string[]): Promise<void> {
  const folder = temporaryFolder();
  const vmlinux = join(folder, "vmlinux");
  const { vmlinux: written } = JSON.parse(inspect(core, "vmlinux", "-o", vmlinux, "--json"));
  expect(written).toMatchObject({ output: vmlinux, release: kernel.info.release });
  const file = new ElfReader(vmlinux);
  const symbols = file.symbols().map(({ name, address }) => `${address.toString(16)} ${name}`);
  const own = told.filter((line) => !line.includes("\t"));
  const linked = own.map((line) => {
    const [address = "", , name] = line.split(" ");
    return `${linkedAddress(BigInt(`0x${address}`), kernel).toString(16)} ${name}`;
  });
  expect(symbols.sort()).toEqual(linked.sort());

  const [unit] = readDwarf({
    info: file.section(".debug_info"),
    abbreviations: file.section(".debug_abbrev"),
    strings: file.section(".debug_str"),
  });
  const type = kernel.expectTypes().expect("task_struct");
  const task = unit?.children.find(
    ({ tag, values }) => tag === TAG.structure && values.get(AT.name) === "task_struct",
  );
  expect(Number(task?.values.get(AT.byteSize))).toBe(type.size);
  const members = task?.children.filter(({ values }) => values.has(AT.memberLocation)) ?? [];
  expect(members.length).toBeGreaterThan(100);
  for (const { values } of members) {
    const name = values.get(AT.name);
    if (typeof name !== "string") continue;
    expect(Number(values.get(AT.memberLocation)), name).toBe(type.offset(name));
  }

  await ensure(drgnPart);
  const script = join(folder, "script.py");
  writeFileSync(script, DRGN_SCRIPT);
  const found = JSON.parse(drgn(core, vmlinux, script));
  const tasks = readTasks(kernel).tasks.map(({ pid }) => pid);
  expect(found.tasks).toEqual(tasks.sort((a, b) => a - b));
  expect(found.log).toContain("critical");
  expect(found.kthreadd).toEqual(expect.arrayContaining(["schedule", "kthreadd"]));
  expect(found.kthreadd.at(-1)).toMatch(/^ret_from_fork/);
  expect(found.mounts).toContain("/proc");
  expect(found.cpus).toHaveLength(2);
  expect(found.cpus[0].at(-1)).toMatch(/^(?:secondary|common)_startup_64|^x86_64_start_kernel/);
  expect(found.cpus[1]).toContain("start_secondary");
}

describeGuests("the Linux in a guest's memory", () => {
  const kernels = [
    ["6.1", "max,la57=off", 4],
    ["6.12", "max,la57=off", 4],
    ["7.3", "max,la57=on", 5],
  ] as const;
  it.each(oneOrAll(kernels, 2))("%s, -cpu %s", async (name, cpu, levels) => {
    const guest = await memoryGuest({ kernel: name, script: SCRIPT, cpu });
    const dmesg = guest.told("dmesg");
    const live = openKernel(openMemory(guest.pid));
    expect(logOf(live).subarray(0, dmesg.length).toString()).toBe(dmesg.toString());
    live.memory.close();
    const core = join(temporaryFolder(), "core");
    inspect(guest.memory, "vmcore", "-o", core, "--pause", guest.qmp);
    expect(JSON.parse(inspect(core, "cpus", "--json")).cpus.cpus).toMatchObject([
      { cpu: 0, interrupts: expect.any(Boolean) },
      { cpu: 1, interrupts: expect.any(Boolean) },
    ]);
    // As a host's operator finds it after the VMM was killed.
    await guest.kill();
    const kernel = openKernel(openMemory(guest.memory));
    expect(kernel.notes.lines).toEqual([]);
    expect(kernel.info.kernelOffset, "KASLR").not.toBe(0n);
    expect(kernel.tables).toMatchObject({ levels });
    expect(logOf(kernel).subarray(0, dmesg.length).toString()).toBe(dmesg.toString());
    expect(dmesg.toString()).toContain("critical");
    const told = guest.told("kallsyms").toString("latin1").trimEnd().split("\n");
    expect(kallsymsOf(kernel).sort()).toEqual(told.filter((line) => !isMade(line)).sort());
    expect(compareTypes(kernel)).toBeGreaterThan(40);
    expect(kernel.presentCpus).toEqual([0, 1]);
    for (const cpu of kernel.presentCpus) {
      expect(kernel.struct("rq", kernel.perCpuSymbol("runqueues", cpu)).number("cpu")).toBe(cpu);
    }
    expect(kernel.notes.lines).toEqual([]);
    await expectVmlinux(
      kernel,
      core,
      told.filter((line) => !isMade(line)),
    );
    kernel.memory.close();
  });

  it("a panic before there is VMCOREINFO leaves the log, and a report of it", async () => {
    const folder = temporaryFolder();
    // Without a timer that works, start_kernel() panics long before the first initcall.
    const panics = (["6.1", "6.12", "7.3"] as const).map(async (kernel) => {
      const [memory = "", file = ""] = ["memory", "serial"].map((name) =>
        join(folder, name + kernel),
      );
      const argv = await qemuGuest({
        ...{ kernel, driver: false, bzImage: true, script: "", append: "loglevel=8 hpet=disable" },
        serial: { file },
        arguments: [
          ...["-object", `memory-backend-file,id=mem,size=256M,mem-path=${memory},share=on`],
          ...["-machine", "memory-backend=mem,pit=off,hpet=off"],
        ],
      });
      await startGuest(argv.map((word) => word.replace("no_timer_check ", ""))).ended;
      const printed = readFileSync(file, "latin1").replaceAll("\r", "");
      const told = printed.slice(printed.search(/^\[ +0\.0+\] Linux version/m));
      const text = inspected(memory, "log");
      expect(text.stdout.replaceAll(/^<\d+>/gm, "")).toBe(told);
      const title = "kernel panic: IO-APIC + timer doesn't work!";
      expect(text.stderr).toContain(`the log ends in a crash: ${title}`);
      const { stdout } = inspected(memory);
      expect(stdout).toMatch(`Linux  ${kernel}.`);
      expect(stdout).toContain(`  its log ends in a crash: ${title}`);
      expect(stdout).toContain(
        "\n  it doesn't describe itself, or not yet: only its log is known\n",
      );
      expect(inspected(memory, "tasks").stderr).toContain("no Linux in it that describes itself");
    });
    await Promise.all(panics);
  });

  it("of two boots it is the one that runs, or ran last", async () => {
    const guest = await memoryGuest({
      kernel: "6.12",
      reboots: true,
      script: `
id=$(cat /proc/sys/kernel/random/boot_id)
echo "this boot is $id" | tee /dev/kmsg
echo OUT-DONE
read _
echo b > /proc/sysrq-trigger
`,
    });
    guest.goOn();
    await until(
      () => guest.output().split("OUT-DONE").length > 2,
      () => `it booted once:\n${guest.output()}`,
    );
    const [former = "", latter = ""] = guest.output().match(/this boot is \S+/g) ?? [];
    expect(latter).not.toBe(former);
    const running = openKernel(openMemory(guest.memory));
    await guest.kill();
    const killed = openKernel(openMemory(guest.memory));
    for (const kernel of [running, killed]) {
      const text = logOf(kernel).toString();
      expect(text).toContain(latter);
      expect(text).not.toContain(former);
      kernel.memory.close();
    }
  });
});
