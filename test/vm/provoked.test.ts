import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isCutShort } from "../../src/analysis/index.js";
import { runGuest } from "../../vm/guest.js";
import {
  inLock,
  insmod,
  lines,
  overtaken,
  type Provocation,
  provocations,
  storm,
} from "./provocations.js";
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
  // What is there twice the kernel has said twice: its clock may stand still meanwhile.
  const lastLines = text.split("\n").slice(-200);
  const twice = lastLines.filter((line, n) => lastLines.indexOf(line) < n);
  const log = (dumpTexts(directory).at(-1) ?? "").replace(/^<\d+>/gm, "").split("\n");
  expect(twice.filter((line) => log.indexOf(line) === log.lastIndexOf(line))).toEqual([]);
  expect(notes(text)).toEqual(lost);
}

describeGuests("a panic at a bad moment", () => {
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
    const { directory, output } = await provoke(overtaken);
    expectWhole(directory, overtaken, output);
    expectConsole(directory, overtaken);
    const [text = ""] = textOf(directory, "console");
    expect(numbers(text, /crash-overtaking (\d{8}) /g)).toEqual(upTo(256));
    expect(text).toContain("crash: overtakes");
  });

  it("while an oops's trace is being taken: all consoles show it", async () => {
    const file = join(temporaryFolder(), "serial");
    const provocation: Provocation = {
      kernel: "6.12",
      // There has to be something to take.
      script: `echo a mark > /sys/kernel/tracing/trace_marker\n${insmod("how=probe probe=print_trace_line probe_when=oops")}`,
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
    const { message, options } = storm;
    const { directory, output } = await provoke({ ...storm, options: { ...options, append } });
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
