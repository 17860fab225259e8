import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openMemory } from "../../src/memory/index.js";
import { openKernel } from "../../src/memory/kernel/index.js";
import { Contexts } from "../../src/memory/trace/contexts.js";
import { Events, formatText } from "../../src/memory/trace/events.js";
import { type Instance, readInstances } from "../../src/memory/trace/instances.js";
import { traceLines } from "../../src/memory/trace/text.js";
import { ensure } from "../../vm/part.js";
import { traceCmd, traceCmdPart } from "../../vm/trace-cmd.js";
import { HAND_OVER, memoryGuest } from "./memory-guest.js";
import { describeGuests, oneOrAll, program, temporaryFolder } from "./support.js";

/** What is enabled where. Function graphs are for instances since Linux 6.11. */
const SCRIPT = `
cd /sys/kernel/tracing
echo 0 > tracing_on
for s in sched irq workqueue syscalls kmem; do echo 1 > events/$s/enable; done
for i in function stacks everything graph; do mkdir instances/$i; echo 0 > instances/$i/tracing_on; done
cd instances
echo 'vfs_*' > function/set_ftrace_filter
echo function > function/current_tracer
echo 1 > stacks/options/stacktrace
echo 1 > stacks/events/sched/sched_waking/enable
echo mono > stacks/trace_clock
echo 1 > everything/events/enable
echo counter > everything/trace_clock
echo 64 > everything/buffer_size_kb
echo function_graph > graph/current_tracer 2> /dev/null || :
for t in .. *; do echo 1 > $t/tracing_on; done
for t in .. *; do echo "a mark, with a tab	and no more" > $t/trace_marker; done
sh -c 'i=0; while [ $i -lt 10 ]; do read x < /proc/loadavg; i=$((i + 1)); done; echo $$ > /dev/null'
ls -lR /etc /dev > /dev/null 2>&1
sleep 0.2
for t in .. *; do echo 0 > $t/tracing_on; done
# A reader takes some of it.
timeout 1 head -n 40 function/trace_pipe > /out/taken || :
for t in *; do cat $t/trace > /out/$t; done
cat ../trace > /out/global
cat ../events/*/*/format > /out/formats
cd /
${HAND_OVER}`;

const nameOf = ({ name }: Instance): string => name ?? "global";

/** Behind a task's name: CPU, flags, time, event's name. */
const EVENT = /^ *(.+)-(\d+) +\[(\d+)\] (\S{5}) +(\d+(?:\.\d+)?): +(?:([\w.]+):|)/;

const headsOf = (lines: readonly string[], of: RegExp = /^/) =>
  lines.flatMap((line) => {
    const match = EVENT.exec(line);
    if (match === null || !of.test(line)) return [];
    const [, task, pid, cpu, , time] = match;
    return [[task, pid, cpu, time].join(" ")];
  });

describeGuests("a guest's ftrace, read from its memory", () => {
  it.each(oneOrAll(["6.1", "6.12", "7.3"] as const, 1))(
    "Linux %s: every instance is equal to tracefs's file, every event's format, and trace-cmd reads it",
    async (kernelName) => {
      const guest = await memoryGuest({ kernel: kernelName, script: SCRIPT });
      await guest.kill();
      const memory = openMemory(guest.memory);
      const kernel = openKernel(memory);
      const events = new Events(kernel);
      const contexts = new Contexts(kernel, events);
      const instances = readInstances(kernel);
      expect(instances.map(nameOf).sort()).toEqual([
        "everything",
        "function",
        "global",
        "graph",
        "stacks",
      ]);
      const lineCounts = new Map<string, number>();
      for (const instance of instances) {
        kernel.budget.renew();
        const lines = [...traceLines(kernel, events, contexts, instance, instance.buffer())];
        const text = `${lines.join("\n")}\n`;
        const told = guest.told(nameOf(instance)).toString("latin1");
        // Where they differ, the first lines that do say more than a megabyte of text.
        expect(differences(text, told), nameOf(instance)).toEqual([]);
        lineCounts.set(nameOf(instance), lines.length);
      }
      expect(kernel.notes.lines).toEqual([]);
      expect(lineCounts.get("global")).toBeGreaterThan(1000);
      expect(lineCounts.get("function")).toBeGreaterThan(100);
      expect(lineCounts.get("stacks")).toBeGreaterThan(20);
      if (kernelName !== "6.1") expect(lineCounts.get("graph")).toBeGreaterThan(1000);

      const formats = guest
        .told("formats")
        .toString("latin1")
        .split(/^(?=name: )/m);
      expect(formats.length).toBeGreaterThan(1000);
      const wrong = formats.filter((format) => {
        kernel.budget.renew();
        const found = events.format(Number(/^ID: (\d+)$/m.exec(format)?.[1]));
        return found === undefined || formatText(found) !== format;
      });
      expect(wrong).toEqual([]);
      memory.close();

      await ensure(traceCmdPart);
      const folder = temporaryFolder();
      for (const name of ["global", "everything", "function", "stacks"]) {
        const dat = join(folder, `${name}.dat`);
        const args = ["inspect", guest.memory, "trace", "--instance", name, "-o", dat];
        expect(execFileSync(program, args, { encoding: "utf8" })).toContain(dat);
        const report = traceCmd(["report", "-i", dat]).toString("latin1").split("\n");
        const told = guest.told(name).toString("latin1").split("\n");
        expect(headsOf(report), name).toEqual(headsOf(told));
      }
      // All in one, and nothing is written over.
      const all = join(folder, "all.dat");
      execFileSync(program, ["inspect", guest.memory, "trace", "-o", all]);
      // Behind each other's names, which are aligned.
      const report = traceCmd(["report", "-i", all]).toString("latin1").split("\n");
      expect(report.filter((line) => /^ *function: .*vfs_/.test(line)).length).toBeGreaterThan(10);
      expect(() =>
        execFileSync(program, ["inspect", guest.memory, "trace", "-o", all], { stdio: "pipe" }),
      ).toThrow(/all\.dat is there already: name a new file\n$/);
      expect(existsSync(all)).toBe(true);
    },
  );
});

function differences(made: string, told: string): string[] {
  if (made === told) return [];
  const ours = made.split("\n");
  const theirs = told.split("\n");
  const found: string[] = [];
  for (let i = 0; i < Math.max(ours.length, theirs.length) && found.length < 10; i++) {
    if (ours[i] !== theirs[i]) found.push(`${i}: ${ours[i]}`, `${i}, tracefs: ${theirs[i]}`);
  }
  return found;
}
