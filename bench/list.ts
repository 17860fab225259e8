// `npm run bench:list`: how long the commands take that read, beside starting Node alone.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { checkout } from "../vm/paths.js";

const GUESTS = 10;
const CRASHES = 1000;
const CONSOLE_BYTES = 64 << 20;
const ROUNDS = 7;

const program = join(checkout, "bin", "virtio-pstore");

const line = (i: number) =>
  `<6>[${`${i}`.padStart(5)}.000000] a line of the log as they all are, of a usual length\n`;

/** A log of some 25 KiB that ends in one of 50 panics. */
function dump(guest: number, crash: number): string {
  const boot = (guest * CRASHES + crash).toString(16).padStart(32, "0");
  return [
    `Panic#1 Part1 boot=${boot} time=1790000000.000000001 oldest-first last\n`,
    ...Array.from({ length: 320 }, (_, i) => line(i)),
    `<0>[  400.000000] Kernel panic - not syncing: reason ${crash % 50}\n`,
    "<4>[  400.000001] CPU: 0 PID: 92 Comm: sh Not tainted 6.1.0-56-cloud-amd64 #1 Debian\n",
    "<4>[  400.000002] Call Trace:\n<4>[  400.000003]  panic+0x107/0x2d6\n",
  ].join("");
}

function ms(command: string, ...args: readonly string[]): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(stderr);
  return performance.now() - began;
}

/** Until the first byte of the output is there. */
function msToBegin(...args: readonly string[]): Promise<number> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    child.on("error", reject);
    child.stdout.once("data", () => {
      child.kill();
      resolve(performance.now() - began);
    });
  });
}

const median = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;

/** Measures all of them in turns, so that a busy moment is everybody's, and tells each beside the first one. */
async function compare(
  measures: Readonly<Record<string, () => number | Promise<number>>>,
): Promise<void> {
  const times = Object.entries(measures).map(([what, measure]) => ({
    what,
    measure,
    taken: [] as number[],
  }));
  for (let i = 0; i < ROUNDS; i++) {
    for (const { measure, taken } of times) taken.push(await measure());
  }
  const alone = median(times[0]?.taken ?? []);
  for (const { what, taken } of times) {
    const took = median(taken);
    const ratio = (took / alone).toFixed(1).padStart(6);
    process.stdout.write(`${what.padEnd(48)} ${took.toFixed(0).padStart(6)} ms ${ratio} times\n`);
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-bench-"));
  try {
    const records = join(folder, "records");
    const empty = join(folder, "empty");
    mkdirSync(empty);
    for (let guest = 0; guest < GUESTS; guest++) {
      const directory = join(records, `guest${guest}`);
      mkdirSync(directory, { recursive: true });
      for (let crash = 0; crash < CRASHES; crash++) {
        writeFileSync(join(directory, `dmesg-${crash + 1}`), dump(guest, crash));
      }
    }
    const console = join(folder, "console-1");
    writeFileSync(console, line(1).repeat(CONSOLE_BYTES / line(1).length));
    // The first time makes the index.
    const first = ms(program, "list", records);
    process.stdout.write(
      `${"list, all crashes, the first time".padEnd(48)} ${first.toFixed(0).padStart(6)} ms\n`,
    );
    await compare({
      "node alone": () => ms(process.execPath, "-e", "0"),
      "--version": () => ms(program, "--version"),
      "list, an empty directory": () => ms(program, "list", empty),
      [`list, ${GUESTS * CRASHES} crashes`]: () => ms(program, "list", records),
      [`list --json, ${GUESTS * CRASHES} crashes`]: () => ms(program, "list", "--json", records),
      [`show, the newest of ${GUESTS * CRASHES}`]: () => ms(program, "show", records),
      "show, a console of 64 MiB, until its first line": () => msToBegin("show", console),
    });
    const all = ms("/bin/sh", "-c", `${program} show ${console} > /dev/null`);
    process.stdout.write(
      `${"show, a console of 64 MiB, all".padEnd(48)} ${all.toFixed(0).padStart(6)} ms\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await new Command("npm run bench:list --")
  .description(
    `Measures how long list and show take over ${GUESTS * CRASHES} crashes, beside starting Node alone.\n` +
      "Takes about a minute; nothing else should run meanwhile.",
  )
  .action(main)
  .parseAsync();
