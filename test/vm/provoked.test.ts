import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isCutShort } from "../../src/report/index.js";
import { type QemuGuestOptions, runGuest } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";
import {
  crashGuest,
  crashLines,
  describeGuests,
  dumpsOf,
  dumpTexts,
  numbers,
  qemuDevice,
  runWithDevice,
  serve,
  temporaryFolder,
  textOf,
  upTo,
} from "./support.js";

// Panics at bad moments: nothing that a dying CPU might hold is waited for, and the dump is there to its end.

/** Lines that are printed before the provocation. */
const lines = 500;

interface Provocation {
  readonly kernel: KernelName;
  /** How the test's module is loaded, and what comes before. */
  readonly script: string;
  /** In the panic's first message. */
  readonly message: string;
  readonly options?: Partial<QemuGuestOptions>;
  /** Of the device; the third is the panic's own. */
  readonly queues?: 2 | 3;
  /** Number of oopses and panics, this one included. */
  readonly count?: number;
  /** Notes of what is missing. */
  readonly lost?: readonly string[];
}

/** Boots, provokes, and gives the folder of what arrived. */
async function provoke({ kernel, script, options, queues = 3 }: Provocation) {
  const directory = join(temporaryFolder(), "crashes");
  const guest = await crashGuest(kernel, { script: `${script}\nsleep 300\n`, ...options });
  if (queues === 3) {
    const { output } = await runWithDevice(
      directory,
      guest,
      "--console",
      "--rate=off",
      "--rate-requests=off",
    );
    return { directory, output };
  }
  const socket = join(temporaryFolder(), "socket");
  const daemon = await serve("--console", "--socket-path", socket, "--directory", directory);
  const { output } = await runGuest([...guest, ...qemuDevice(socket, 256, queues)]);
  await daemon.stop();
  return { directory, output: output + daemon.log() };
}

/** What the driver or the report says of text that is missing. */
const notes = (text: string): string[] => text.match(/\[virtio-pstore: .*\]/g) ?? [];

/** Every line of the log, from the boot's first to the panic's, up to the part that is marked as the last. */
function expectWhole(
  directory: string,
  { message, count = 1, lost = [] }: Provocation,
  output: string,
): void {
  const dump = dumpsOf(directory, "dmesg").at(-1);
  if (dump === undefined) throw new Error(`no dump: ${output}`);
  expect(dump).toMatchObject({ reason: "Panic", count });
  expect(isCutShort(dump)).toBe(false);
  const text = dumpTexts(directory).at(-1) ?? "";
  expect(text).toContain("Linux version");
  expect(crashLines(text)).toEqual(upTo(lines));
  expect(text).toContain(message);
  expect(notes(text)).toEqual(lost);
}

/** The console goes on to the panic, in order, and says of nothing that it was lost. */
function expectConsole(directory: string, { message, lost = [] }: Provocation): void {
  const [text = "", ...others] = textOf(directory, "console");
  expect(others).toEqual([]);
  expect(crashLines(text)).toEqual(upTo(lines));
  expect(text).toContain(message);
  // An unwinder that isn't sure may tell a function twice.
  const lastLines = text
    .split("\n")
    .slice(-200)
    .filter((line) => !line.includes("]  ? "));
  expect(lastLines.filter((line, n) => lastLines.indexOf(line) < n)).toEqual([]);
  expect(notes(text)).toEqual(lost);
}

const insmod = (how: string) => `insmod /crash.ko lines=${lines} ${how}`;
const inLock = "how=probe probe=virtqueue_add_sgs";
/** A trace, so that there is something to take at an oops. */
const mark = "echo a mark > /sys/kernel/tracing/trace_marker";
/** Something to send, so that the probe is hit. */
const print = "\necho something > /dev/kmsg";

describeGuests("a panic at a bad moment", () => {
  const provocations: readonly (readonly [string, Provocation])[] = [
    [
      "in hard interrupt context",
      {
        kernel: "6.12",
        script: insmod("how=irq"),
        message: "crash: in interrupt context, hardirq 1",
      },
    ],
    ["in an NMI", { kernel: "7.3", script: insmod("how=nmi"), message: "crash: in NMI context" }],
    [
      "with the write queue's lock held",
      {
        kernel: "6.1",
        script: insmod(inLock) + print,
        message: "crash: inside virtqueue_add_sgs",
      },
    ],
    [
      "with the write queue's lock held, and no queue of the panic's own",
      {
        kernel: "7.3",
        script: insmod(inLock) + print,
        message: "crash: inside virtqueue_add_sgs",
        queues: 2,
      },
    ],
    [
      "while another CPU holds the write queue's lock",
      {
        kernel: "6.1",
        script: insmod(`${inLock} probe_when=held`),
        message: "crash: while another CPU is inside virtqueue_add_sgs",
        // The storm that the probe waits for must not overwrite the log's beginning on a busy host.
        options: { append: "log_buf_len=4M", arguments: ["-smp", "2"] },
        // That CPU has room for its message in the log, and will never write it.
        lost: ["[virtio-pstore: 1 lines lost]"],
      },
    ],
    [
      "while the log is being formatted for the dump",
      {
        kernel: "6.12",
        script: insmod("how=probe probe=kmsg_dump_get_line probe_when=panic"),
        message: "crash: inside kmsg_dump_get_line",
        count: 2,
      },
    ],
    [
      "with the lock of the panic's own queue held",
      {
        kernel: "7.3",
        script: insmod(`${inLock} probe_when=panic`),
        message: "crash: inside virtqueue_add_sgs",
        count: 2,
      },
    ],
    [
      "in another's panic notifier",
      {
        kernel: "6.1",
        script: insmod("how=probe probe=crash_on_panic probe_when=panic"),
        message: "crash: inside crash_on_panic",
        count: 2,
      },
    ],
    [
      "by an interrupt, as soon as the write queue's lock is released",
      {
        kernel: "6.1",
        script: insmod(`${inLock} probe_when=irq`) + print,
        message: "crash: in interrupt context, hardirq 1",
      },
    ],
    [
      "by panic_on_oops, in a workqueue",
      {
        kernel: "6.1",
        script: `echo 1 > /proc/sys/kernel/panic_on_oops\n${insmod("how=oops")}`,
        message: "Kernel panic - not syncing: Fatal exception",
        count: 2,
      },
    ],
    [
      "by hung_task_panic",
      {
        kernel: "6.1",
        script: [
          "echo 1 > /proc/sys/kernel/hung_task_panic",
          "echo 1 > /proc/sys/kernel/hung_task_timeout_secs",
          insmod("how=hung"),
        ].join("\n"),
        message: "hung_task: blocked tasks",
      },
    ],
    [
      "by softlockup_panic",
      {
        kernel: "7.3",
        script: [
          "echo 1 > /proc/sys/kernel/softlockup_panic",
          "echo 1 > /proc/sys/kernel/watchdog_thresh",
          insmod("how=softlockup"),
        ].join("\n"),
        message: "softlockup: hung tasks",
      },
    ],
  ];

  it.each(provocations)("%s", async (_, provocation) => {
    const { directory, output } = await provoke(provocation);
    expectWhole(directory, provocation, output);
    expectConsole(directory, provocation);
  });

  it("with the lock of the panic's own queue held, while another's notifier prints", async () => {
    const { directory, output } = await provoke({
      kernel: "6.12",
      script: insmod(`${inLock} probe_when=later panic_lines=2000`),
      message: "crash: inside virtqueue_add_sgs",
      options: { append: "log_buf_len=4M" },
    });
    const dump = dumpsOf(directory, "dmesg").at(-1);
    expect(dump, output).toMatchObject({ reason: "Panic", count: 2 });
    const [console = ""] = textOf(directory, "console");
    for (const text of [console, dumpTexts(directory).at(-1) ?? ""]) {
      // The first panic's fill a buffer, which the driver then sends; the second one's notifiers print again.
      const printed = crashLines(text);
      const first = printed.length - lines - 2000;
      expect(first).toBeGreaterThan(1000);
      expect(printed).toEqual([...upTo(lines), ...upTo(first), ...upTo(2000)]);
      expect(text.match(/(?<=not syncing: crash: )\w+/g)).toEqual(["before", "inside"]);
      // The message from which the driver was called has its place in the log, and is never finished.
      expect(notes(text)).toEqual(["[virtio-pstore: 1 lines lost]"]);
    }
  });

  it("while another CPU's message overtakes the panic's first one", async () => {
    const provocation: Provocation = {
      kernel: "6.12",
      script: insmod("how=overtaken"),
      message: "Kernel panic - not syncing: crash: overtaken",
      options: { arguments: ["-smp", "2"] },
    };
    const { directory, output } = await provoke(provocation);
    expectWhole(directory, provocation, output);
    expectConsole(directory, provocation);
    const [text = ""] = textOf(directory, "console");
    expect(numbers(text, /crash-overtaking (\d{8}) /g)).toEqual(upTo(256));
    expect(text).toContain("crash: overtakes");
  });

  it("while an oops's trace is being taken: all consoles show it", async () => {
    const file = join(temporaryFolder(), "serial");
    const provocation: Provocation = {
      kernel: "6.12",
      script: `${mark}\n${insmod("how=probe probe=print_trace_line probe_when=oops")}`,
      message: "crash: inside print_trace_line",
      options: { driverParameters: { trace: 1 }, serial: { file } },
      count: 2,
    };
    const { directory, output } = await provoke(provocation);
    expectWhole(directory, provocation, output);
    expectConsole(directory, provocation);
    expect(readFileSync(file, "utf8")).toContain(
      `Kernel panic - not syncing: ${provocation.message}`,
    );
  });

  it.each([
    ["a log that holds all of it", "log_buf_len=16M"],
    ["the stock log", ""],
  ])("in a storm of printk from four CPUs, with %s", async (_, append) => {
    const message = "crash: in a storm";
    const { directory, output } = await provoke({
      kernel: "6.12",
      script: "insmod /crash.ko how=storm",
      message,
      options: { append, arguments: ["-smp", "4"] },
    });
    const dump = dumpsOf(directory, "dmesg").at(-1);
    if (dump === undefined) throw new Error(`no dump: ${output}`);
    expect(dump).toMatchObject({ reason: "Panic", count: 1 });
    expect(isCutShort(dump)).toBe(false);

    const [text = ""] = textOf(directory, "console");
    const [dumped = ""] = dumpTexts(directory);
    for (const cpu of [0, 1, 2, 3]) {
      const pattern = new RegExp(`crash-storm cpu ${cpu} line (\\d+) `, "g");
      for (const found of [numbers(text, pattern), numbers(dumped, pattern)]) {
        expect(found).toEqual([...found].sort((a, b) => a - b));
        // But for what a stopped CPU was about to say, which is its last line.
        if (append !== "") expect(found).toEqual(upTo(found.length));
      }
    }
    if (append !== "") {
      expect(text).toContain(message);
      expect(dumped).toContain(message);
    }
  });
});
