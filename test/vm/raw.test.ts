import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { findRecords, isCutShort } from "../../src/analysis/index.js";
import { qemuGuest, runGuest, umlGuest } from "../../vm/guest.js";
import { kernelNames } from "../../vm/kernel.js";
import { joinDump } from "../support/join-dump.js";
import {
  crashGuest,
  crashLines,
  describeGuests,
  dumpsOf,
  dumpTexts,
  numbers,
  panic,
  program,
  qemuDevice,
  recordNames,
  runWithDevice,
  serve,
  temporaryFolder,
  textOf,
  upTo,
} from "./support.js";

/** What is looked at of an event in a Chrome JSON trace. */
interface TraceEvent {
  readonly ph: string;
  readonly tid: number;
  readonly name?: string;
  readonly args?: { readonly name?: string };
}

describeGuests("the whole log, raw", () => {
  it.each(kernelNames)("QEMU, Linux %s: every line of a log of 700 KB", async (kernel) => {
    const directory = temporaryFolder();
    const guest = await crashGuest(kernel, {
      append: "log_buf_len=1M",
      script: "insmod /crash.ko how=panic lines=7000\n",
    });
    const result = await runWithDevice(directory, guest);
    expect(recordNames(directory), result.output).toContain("dmesg-1");
    const [dump, ...others] = dumpsOf(directory, "dmesg");
    if (dump === undefined) throw new Error("no dump");
    expect(others).toEqual([]);
    expect(dump).toMatchObject({ reason: "Panic", count: 1, oldestFirst: true });
    expect(dump.boot).toMatch(/^[0-9a-f]{32}$/);
    expect(isCutShort(dump)).toBe(false);
    const text = joinDump(dump).toString();
    expect(text).toMatch(/^<5>\[ +0\.000000\] Linux version/);
    expect(crashLines(text)).toEqual(upTo(7000));
    expect(text).toContain("Kernel panic - not syncing: crash: asked for");
    expect(text).not.toContain("[virtio-pstore:");
  });

  it.each(kernelNames)(
    "QEMU, Linux %s: by reference, the same text as the kernel formats for the console",
    async (kernel) => {
      const directory = temporaryFolder();
      // More than the log holds: its ring has wrapped.
      const guest = await crashGuest(kernel, {
        driverParameters: { dump: "reference" },
        script: "insmod /crash.ko how=panic lines=5000\n",
      });
      const result = await runWithDevice(directory, guest, "--console");
      const [dump, ...others] = dumpsOf(directory, "dmesg");
      if (dump === undefined) throw new Error(`no dump: ${result.output}`);
      expect(others).toEqual([]);
      expect(dump.parts[0]?.header).toMatchObject({ part: 1, printkRing: true });
      expect(isCutShort(dump)).toBe(false);
      const text = joinDump(dump).toString();
      const [from = 0, ...more] = crashLines(text);
      expect([from, ...more]).toEqual(upTo(5000).slice(from - 1));
      expect(from).toBeGreaterThan(1);
      expect(text.length).toBeGreaterThan(100_000);
      const [console = ""] = textOf(directory, "console");
      expect(console).toContain(text.replace(/^<\d+>/gm, ""));
    },
  );

  it("an oops and then a panic of one boot are two dumps with its id", async () => {
    const directory = temporaryFolder();
    const script = `insmod /crash.ko how=oops; sleep 1\n${panic}`;
    await runWithDevice(directory, await crashGuest("6.12", { script }));
    const dumps = dumpsOf(directory, "dmesg");
    expect(dumps.map(({ reason, count }) => [reason, count])).toEqual([
      ["Oops", 1],
      ["Panic", 2],
    ]);
    expect(dumps[0]?.boot).toBe(dumps[1]?.boot);
    expect(dumps.map(isCutShort)).toEqual([false, false]);
  });

  it("--compress stores it compressed, and the next boot reads it in /sys/fs/pstore", async () => {
    const directory = temporaryFolder();
    const first = await umlGuest({ script: `echo first boot > /dev/kmsg\n${panic}` });
    await runWithDevice(directory, first, "--compress");
    expect(recordNames(directory)).toContain("dmesg-1.gz");
    expect(dumpTexts(directory)[0]).toContain("first boot");
    const second = await umlGuest({ script: "cat /sys/fs/pstore/dmesg-*-1\n" });
    expect((await runWithDevice(directory, second)).output).toContain("first boot");
  });

  it("where ERST is pstore's source our dump arrives all the same", async () => {
    const directory = temporaryFolder();
    const erst = join(temporaryFolder(), "erst");
    const guest = await crashGuest("6.1", {
      script: "insmod /crash.ko how=panic lines=500\n",
      arguments: [
        ...["-object", `memory-backend-file,id=erst,mem-path=${erst},size=64K,share=on`],
        ...["-device", "acpi-erst,memdev=erst"],
      ],
    });
    const result = await runWithDevice(directory, guest);
    const [text, ...others] = dumpTexts(directory);
    expect(others, result.output).toEqual([]);
    expect(crashLines(text ?? "")).toEqual(upTo(500));
    // ERST's own part of it: as before.
    expect(readFileSync(erst).includes("CPER")).toBe(true);
  });
});

describeGuests("the trace", () => {
  /** More than 1 MB of trace text: numbered marks. */
  const marks = 10_000;
  const fillTrace = [
    "echo 4096 > /sys/kernel/tracing/buffer_size_kb",
    `awk 'BEGIN { for (n = 1; n <= ${marks}; n++) {`,
    '  printf "mark %d %060d\\n", n, n > "/sys/kernel/tracing/trace_marker"',
    '  fflush("/sys/kernel/tracing/trace_marker") } }\'',
  ].join("\n");
  const markNumbers = (text: string) => numbers(text, /mark (\d+) 0/g);

  /** The calls of a few functions, with their times, on each of two CPUs. */
  const traceCalls = [
    "cd /sys/kernel/tracing",
    "echo 'vfs_*' > set_ftrace_filter",
    "echo function_graph > current_tracer",
    "echo funcgraph-abstime > trace_options",
    ...[1, 2].map((cpu) => `taskset ${cpu} cat /proc/version /proc/mounts > /dev/null`),
    "cd /",
  ].join("\n");
  /** Before 6.4 the driver can't take the trace. */
  const tracingKernels = kernelNames.filter((kernel) => kernel !== "6.1");
  const shownOptions = { encoding: "utf8", maxBuffer: 1 << 26 } as const;

  it("with the stock log and ftrace_dump_on_oops, the log before it is whole, and all of it in the console", async () => {
    const directory = temporaryFolder();
    const guest = await crashGuest("6.1", {
      append: "ftrace_dump_on_oops",
      script: `${fillTrace}\ninsmod /crash.ko how=panic lines=500\n`,
    });
    const result = await runWithDevice(directory, guest, "--console");
    const [text = "", ...others] = dumpTexts(directory);
    expect(others, result.output).toEqual([]);
    expect(text).toContain("Linux version");
    expect(crashLines(text)).toEqual(upTo(500));
    expect(text).toContain("Kernel panic - not syncing: crash: asked for");
    const [console = ""] = textOf(directory, "console");
    expect(markNumbers(console)).toEqual(upTo(marks));
    expect(console).not.toContain("[virtio-pstore:");
  });

  it("where the driver can't take the trace, trace=1 says so, and takes nothing", async () => {
    const directory = temporaryFolder();
    const guest = await crashGuest("6.1", {
      driverParameters: { trace: 1 },
      script: `${fillTrace}\ninsmod /crash.ko how=panic lines=1\n`,
    });
    const result = await runWithDevice(directory, guest);
    expect(dumpsOf(directory, "ftrace"), result.output).toEqual([]);
    const [log = ""] = dumpTexts(directory);
    expect(log).toContain("trace=1 needs Linux 6.4");
    expect(markNumbers(log)).toEqual([]);
  });

  it.each(tracingKernels)(
    "QEMU, Linux %s: with trace=1 all of it is in records of its own, and the log is whole",
    async (kernel) => {
      const directory = temporaryFolder();
      const guest = await crashGuest(kernel, {
        driverParameters: { trace: 1 },
        // Linux 7.3 hangs where its log's descriptors wrap during a panic (docs/guest.md, Traps).
        append: kernel === "7.3" ? "log_buf_len=1M" : "",
        script: `${fillTrace}\ninsmod /crash.ko how=panic lines=500\n`,
      });
      const result = await runWithDevice(directory, guest);
      const [trace, ...others] = dumpsOf(directory, "ftrace");
      if (trace === undefined) throw new Error(`no trace: ${result.output}`);
      expect(others).toEqual([]);
      expect(isCutShort(trace)).toBe(false);
      const text = joinDump(trace).toString();
      expect(markNumbers(text)).toEqual(upTo(marks));
      expect(text.length).toBeGreaterThan(1_000_000);
      const [log = ""] = dumpTexts(directory);
      expect(log).toContain("Linux version");
      expect(crashLines(log)).toEqual(upTo(500));
      expect(markNumbers(log)).toEqual([]);
    },
  );

  it("an oops that is survived is in the console with trace=1, too, and its trace isn't", async () => {
    const directory = temporaryFolder();
    const guest = await crashGuest("6.12", {
      driverParameters: { trace: 1 },
      script: `${fillTrace}\ninsmod /crash.ko how=oops lines=500; sleep 1; echo after > /dev/kmsg; sleep 1\n`,
    });
    const result = await runWithDevice(directory, guest, "--console");
    expect(dumpsOf(directory, "ftrace"), result.output).toHaveLength(1);
    const [text = ""] = textOf(directory, "console");
    expect(crashLines(text)).toEqual(upTo(500));
    expect(text).toMatch(/BUG: kernel NULL pointer.*crash_write_null.*CR2: .* after\n/s);
    expect(markNumbers(text)).toEqual([]);
    expect(text).not.toContain("[virtio-pstore:");
  });

  it("two devices: the first one takes the trace, and it is text to the other's console", async () => {
    const folders = [temporaryFolder(), temporaryFolder()];
    const daemons = await Promise.all(
      folders.map((folder) =>
        serve(
          ...["--console", "--rate=off", "--rate-requests=off"],
          ...["--socket-path", join(folder, "socket"), "--directory", join(folder, "crashes")],
        ),
      ),
    );
    const script = [
      "for n in $(seq 9); do echo mark $n > /sys/kernel/tracing/trace_marker; done",
      "insmod /crash.ko how=oops lines=50; sleep 1; echo after > /dev/kmsg; sleep 1\n",
    ];
    const guest = await crashGuest("6.12", {
      driverParameters: { trace: 1 },
      script: script.join("\n"),
    });
    const [first = [], second = []] = folders.map((folder, n) =>
      qemuDevice(join(folder, "socket"), 256, 3, `pstore${n}`),
    );
    await runGuest([...guest, ...first, ...second.slice(4)]);
    for (const daemon of daemons) await daemon.stop();

    const told = folders.map((folder) => {
      const directory = join(folder, "crashes");
      const [trace] = dumpsOf(directory, "ftrace");
      const [console = ""] = textOf(directory, "console");
      expect(console).toMatch(/BUG: kernel NULL pointer.*crash_write_null.*CR2: .* after\n/s);
      expect(console).not.toContain("[virtio-pstore:");
      const text = trace === undefined ? "" : joinDump(trace).toString();
      return [text, console].map((one) => numbers(one, /mark (\d)$/gm));
    });
    expect(told).toContainEqual([upTo(9), []]);
    expect(told).toContainEqual([[], upTo(9)]);
  });

  it.each(tracingKernels)(
    "QEMU, Linux %s: calls on two CPUs are two rows of a Chrome JSON trace",
    async (kernel) => {
      const directory = temporaryFolder();
      const guest = await crashGuest(kernel, {
        driverParameters: { trace: 1 },
        arguments: ["-smp", "2"],
        script: `${traceCalls}\ninsmod /crash.ko how=panic lines=1\n`,
      });
      const result = await runWithDevice(directory, guest);
      const shown = spawnSync(program, ["show", "--ftrace", "--chrome", directory], shownOptions);
      // What it couldn't make out, or a trace without times, would be told.
      expect(shown.stderr, result.output).not.toContain("the trace");
      const { traceEvents } = JSON.parse(shown.stdout) as { traceEvents: TraceEvent[] };
      const named = traceEvents.filter(({ name }) => name === "thread_name");
      expect(named.map(({ args }) => args?.name).sort()).toEqual(["CPU 0", "CPU 1"]);
      for (const row of [1, 2]) {
        const calls = traceEvents.filter(({ ph, tid }) => tid === row && ph === "B");
        expect(calls.filter(({ name }) => name === "vfs_open").length).toBeGreaterThan(0);
      }
    },
  );
});

describeGuests("the console", () => {
  it.each(kernelNames)(
    "QEMU, Linux %s: every message, whatever console_loglevel says, to the end",
    async (kernel) => {
      const directory = temporaryFolder();
      const guest = await crashGuest(kernel, {
        // Quota for all of them: on a busy host printk overwrites lines before they are sent.
        append: "loglevel=0 log_buf_len=4M",
        script: "insmod /crash.ko how=panic lines=5000\n",
      });
      const result = await runWithDevice(directory, guest, "--console");
      const [text = "", ...others] = textOf(directory, "console");
      expect(others, result.output).toEqual([]);
      expect(text).toContain("Linux version");
      expect(text.match(/\[virtio-pstore: .*\]/g) ?? []).toEqual([]);
      expect(crashLines(text)).toEqual(upTo(5000));
      expect(text).toContain("Kernel panic - not syncing: crash: asked for");
      const lines = text.trimEnd().split("\n");
      const times = numbers(text, /^\[ *(\d+\.\d+)\]/gm);
      expect(times.length).toBeGreaterThan(lines.length * 0.9);
      // On a busy host the kernel's own clock steps back once, where it changes over to the TSC.
      const later = times.slice(times.findIndex((time) => time > 0.1));
      expect(later.length).toBeGreaterThan(5000);
      expect(later).toEqual([...later].sort((a, b) => a - b));
    },
  );

  it("one boot has one console, though its driver is loaded anew; another boot has another", async () => {
    const directory = temporaryFolder();
    const script = [
      "echo before > /dev/kmsg; sleep 0.3",
      "umount /sys/fs/pstore; rmmod virtio_pstore && insmod /modules/virtio_pstore.ko",
      "echo after > /dev/kmsg; sleep 0.3\n",
    ].join("\n");
    const guest = await qemuGuest({ kernel: "6.1", script });
    for (let boot = 1; boot <= 2; boot++) {
      const result = await runWithDevice(directory, guest, "--console");
      expect(textOf(directory, "console"), result.output).toHaveLength(boot);
    }
    for (const text of textOf(directory, "console")) {
      expect(text).toMatch(/ before\n(?:.*\n)*?.* after\n/);
    }
    const consoles = findRecords(directory).filter(({ type }) => type === "console");
    expect(new Set(consoles.map(({ boot }) => boot)).size).toBe(2);
    expect(consoles.every(({ boot }) => boot !== undefined)).toBe(true);
  });
});

describeGuests("pmsg", () => {
  it("what user space writes to /dev/pmsg0 is there, before the guest ends", async () => {
    const directory = temporaryFolder();
    const script = "for n in 1 2 3; do echo message $n > /dev/pmsg0; done; sleep 1\n";
    const guest = await qemuGuest({ kernel: "6.1", script });
    const result = await runWithDevice(directory, guest, "--types", "dmesg,pmsg");
    expect(textOf(directory, "pmsg"), result.output).toEqual(["message 1\nmessage 2\nmessage 3\n"]);
  });

  it("a guest keeps to the types that are taken: nothing is refused, nothing else is there", async () => {
    const directory = temporaryFolder();
    const script = `echo message > /dev/pmsg0; echo line > /dev/kmsg\n${panic}`;
    const guest = await qemuGuest({ kernel: "6.1", script, driverParameters: { trace: 1 } });
    const result = await runWithDevice(directory, guest, "--types", "dmesg");
    expect(result.output).not.toContain("REFUSED");
    expect(recordNames(directory).every((name) => name.startsWith("dmesg-"))).toBe(true);
    expect(readdirSync(directory)).not.toContain(".streams");
    expect(statSync(join(directory, "dmesg-1")).size).toBeGreaterThan(0);
  });
});
