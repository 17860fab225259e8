// `npm run compare:guest`: what a guest's own log says only with the driver in it, and what only without.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { type QemuGuestOptions, runGuest } from "../../vm/guest.js";
import { type KernelName, kernelNames } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";
import { crashGuest } from "./crash-guest.js";
import {
  insmod,
  overtaken,
  provocations,
  reporting,
  reportingWords,
  storm,
} from "./provocations.js";

const program = join(checkout, "bin", "virtio-pstore");
const RUNS = 5;

interface Case {
  readonly name: string;
  readonly kernel: KernelName;
  readonly script: string;
  readonly options?: Partial<QemuGuestOptions>;
  /** What QEMU's monitor is told as soon as the guest prints READY. */
  readonly whenReady?: "nmi" | "quit";
  /** QEMU ends where the guest would be reset; a guest that wakes up is. */
  readonly reset?: true;
}

const everywhere: readonly Omit<Case, "kernel">[] = [
  { name: "a storm, and a warning", script: "insmod /crash.ko how=warn lines=20000" },
  { name: "an oops that is survived", script: `${insmod("how=oops")}; sleep 1` },
  { name: "a panic", script: insmod("how=panic panic_lines=500") },
  {
    name: "backtraces, an NMI, an RCU stall",
    script: reporting,
    whenReady: "nmi",
    options: { append: `panic_on_warn=1 ${reportingWords}`, arguments: ["-smp", "2"] },
  },
  {
    name: "a suspend",
    // Enough for a busy host: an alarm that rings before the guest sleeps wakes nobody.
    script:
      "echo +10 > /sys/class/rtc/rtc0/wakealarm; echo mem > /sys/power/state; sleep 1; echo READY; sleep 99",
    // A guest that has been suspended doesn't power this QEMU off.
    whenReady: "quit",
    reset: true,
    options: { bzImage: true, arguments: ["-machine", "smm=off"] },
  },
];

const cases: readonly Case[] = [
  ...everywhere.flatMap((one) => kernelNames.map((kernel) => ({ ...one, kernel }))),
  ...provocations
    .filter(([, { inDriver }]) => inDriver !== true)
    .map(([name, { kernel, script, options }]) => ({
      name: `a panic ${name}`,
      kernel,
      script: `${script}\nsleep 20`,
      ...(options === undefined ? {} : { options }),
    })),
  { name: "a reboot", kernel: "6.1", script: "reboot -f" },
  {
    name: "ftrace_dump_on_oops",
    kernel: "6.1",
    script: `for n in $(seq 99); do echo mark $n > /sys/kernel/tracing/trace_marker; done; ${insmod("how=panic")}`,
    options: { append: "ftrace_dump_on_oops" },
  },
  { name: "a panic while another CPU's message overtakes it", ...overtaken },
  { name: "a panic in a storm from four CPUs", ...storm },
];

/** How a guest is run: without the driver, and with it for each set of types that makes a difference. */
const WITHOUT = "without";
const variants: Readonly<Record<string, readonly string[]>> = {
  [WITHOUT]: [],
  "default types": [],
  "--console": ["--console"],
};

/** Lines that are there with the driver because it is there. docs/guest.md has the reasons. */
const explained: readonly RegExp[] = [
  /^(loading out-of-tree module|module verification failed)/,
  /^pstore: Registered virtio as persistent store backend/,
  /^printk: console \[vpstore-#\] enabled/,
  /^hpet: Lost # RTC interrupts/,
];

/** Lines that come some seconds after the boot, or when the host is busy, with the driver or without. */
const byTime =
  /^(tsc: Refined TSC|clocksource: (tsc: mask|Switched to|Long readout)|hrtimer: interrupt took)/;

/** What differs from boot to boot of the same guest: times, addresses, counts, and what its unwinder guesses. */
function normalize(line: string): string {
  return line
    .replace(/^\[ *\d+\.\d+\](\[[^\]]*\])? ?/, "")
    .replace(/ virtio_pstore\(\w+\)/g, "")
    .replace(/^\w+: (?=loading out-of-tree module|module verification failed)/, "")
    .replace(/(Not tainted|Tainted: [A-Z ]+?) +(?=\d)/, "")
    .replace(/^Tainted: .*/, "")
    .replace(/^Code: .*/, "Code:")
    .replace(/^ *\? .*/, "")
    .replace(/\+0x[0-9a-f]+\/0x[0-9a-f]+/g, "")
    .replace(/\b(0x)?[0-9a-f]{4,}\b/g, "#")
    .replace(/\d+/g, "#")
    .trimEnd();
}

interface Run {
  readonly lines: ReadonlySet<string>;
  /** Seconds by the guest's clock from the provocation to its last line. */
  readonly seconds: number;
  readonly end: string;
}

const MARK = "compare: here it comes";

async function boot(one: Case, variant: string): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), "pstore-compare-"));
  const at = (name: string) => join(folder, name);
  // QEMU makes its files a moment after it was started.
  const log = () => (existsSync(at("serial")) ? readFileSync(at("serial"), "latin1") : "");
  try {
    const { append = "", arguments: words = [], ...options } = one.options ?? {};
    const argv = await crashGuest(one.kernel, {
      ...options,
      driver: variant !== WITHOUT,
      serial: { file: at("serial") },
      // Everything is shown, also where a sysrq or a suspend changes the level.
      append: `${append} ignore_loglevel no_console_suspend printk.devkmsg=on`,
      arguments: [...words, "-monitor", `unix:${at("monitor")},server=on,wait=off`],
      script: `echo ${MARK} > /dev/kmsg\n${one.script}\n`,
    });
    const device = [...(variants[variant] ?? []), "--rate=off", "--rate-requests=off"];
    const running = runGuest(
      [
        ...[program, "run", "--directory", at("records"), ...device, "--"],
        ...argv.filter((word) => word !== "-no-reboot" || one.reset !== true),
      ],
      { timeoutMs: 300_000 },
    );
    if (one.whenReady !== undefined)
      await tellWhenReady(running, log, at("monitor"), one.whenReady);
    const { ended } = await running;
    const text = log().replaceAll("\r", "");
    const from = text.lastIndexOf(MARK);
    const times = [...text.slice(from).matchAll(/^\[ *(\d+\.\d+)\]/gm)].map(([, time]) =>
      Number(time),
    );
    const begun = /\[ *(\d+\.\d+)\][^\n]*$/.exec(text.slice(0, from + MARK.length))?.[1];
    const booted = text.slice(text.lastIndexOf("Run /init as init process"));
    return {
      lines: new Set(booted.split("\n").map(normalize)),
      seconds: Math.max(...times, Number(begun)) - Number(begun),
      end:
        ended ??
        /Kernel panic - not syncing: .*/.exec(text)?.[0] ??
        /reboot: .*/.exec(text)?.[0] ??
        "silence",
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function tellWhenReady(
  running: Promise<unknown>,
  log: () => string,
  monitor: string,
  command: string,
): Promise<void> {
  let over = false;
  void running.finally(() => {
    over = true;
  });
  while (!over) {
    await sleep(100);
    if (!log().includes("READY")) continue;
    createConnection(monitor)
      .on("error", () => undefined)
      .end(`${command}\n`);
    return;
  }
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** In how many runs each line was. */
function tally(runs: readonly Run[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { lines } of runs)
    for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return counts;
}

/** Lines that some run of `these` has and none of `those`. */
function only(these: readonly Run[], those: readonly Run[]): string[] {
  const others = tally(those);
  return [...tally(these)]
    .filter(([line]) => ![byTime, ...explained].some((pattern) => pattern.test(line)))
    .filter(([line]) => !others.has(line))
    .map(([line, count]) => `${count}/${these.length} ${line}`)
    .sort()
    .reverse();
}

function tell(one: Case, runs: ReadonlyMap<string, readonly Run[]>): void {
  console.log(`\n# Linux ${one.kernel}: ${one.name}`);
  for (const [variant, all] of runs) {
    const ends = [...new Set(all.map(({ end }) => end))].join(" | ");
    console.log(`${variant}: ${median(all.map(({ seconds }) => seconds)).toFixed(2)} s, ${ends}`);
  }
  const without = runs.get(WITHOUT) ?? [];
  for (const [variant, all] of runs) {
    if (variant === WITHOUT) continue;
    for (const line of only(all, without)) console.log(`  + ${variant} ${line}`);
    for (const line of only(without, all)) console.log(`  - ${variant} ${line}`);
  }
}

/** Boots the guests of one case, two at a time. */
async function bootAll(one: Case, count: number): Promise<Map<string, Run[]>> {
  const runs = new Map<string, Run[]>(Object.keys(variants).map((variant) => [variant, []]));
  const waiting = Array.from({ length: count }, () => [...runs]).flat();
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [variant, done] = next;
      done.push(await boot(one, variant));
      process.stderr.write(`${one.kernel}: ${one.name}: ${variant}: ${done.length} of ${count}\n`);
    }
  };
  await Promise.all([work(), work()]);
  return runs;
}

async function main({ runs, only: part }: { runs: number; only: string }): Promise<void> {
  const chosen = cases.filter(({ kernel, name }) => `${kernel}: ${name}`.includes(part));
  if (chosen.length === 0) {
    process.stderr.write(`error: nothing has "${part}" in its name\n`);
    process.exitCode = 2;
    return;
  }
  for (const one of chosen) tell(one, await bootAll(one, runs));
}

function positive(text: string): number {
  if (!/^[1-9][0-9]?$/.test(text)) throw new InvalidArgumentError("It is a number from 1 on.");
  return Number(text);
}

await new Command("npm run compare:guest --")
  .description(
    "Boots guests that die, or nearly, without the driver, with it, and with its console, and compares what their\n" +
      "own consoles showed, without times, addresses and numbers. Takes about 50 minutes.\n\n" +
      "  + VARIANT N/RUNS LINE   was there only with the driver, in N of the runs\n" +
      "  - VARIANT N/RUNS LINE   was there only without",
  )
  .option("--runs <n>", "boots of each", positive, RUNS)
  .option("--only <text>", "only what has this in its name, such as '6.1' or 'storm'", "")
  .action(main)
  .parseAsync();
