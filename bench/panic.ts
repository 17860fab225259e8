// `npm run bench:guest`: what it costs a guest to hand its text over when it dies, and while it runs.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { buildDriver } from "../vm/build.js";
import { qemuGuest, runGuest } from "../vm/guest.js";
import { type KernelName, kernel } from "../vm/kernel.js";
import { checkout } from "../vm/paths.js";
import { type Measurement, report } from "./panic-report.js";
import { summarize } from "./statistics.js";
import { FORMATTING, STORM, type Way, ways } from "./ways.js";

const KERNEL: KernelName = "6.1";
const ROUNDS = 5;

const program = join(checkout, "bin", "virtio-pstore");

interface Modules {
  readonly crash: string;
  readonly stopwatch: string;
  readonly driver: string;
}

/** Throws where a line is missing, twice there, or not in its place. */
function check(way: Way, text: string): void {
  if (way.lines === undefined) return;
  const found = [...text.matchAll(/crash-line (\d{8}) of/g)].map((match) => Number(match[1]));
  const wrong = found.findIndex((number, i) => number !== i + 1);
  if (found.length !== way.lines || wrong !== -1) {
    const where = wrong === -1 ? "" : `, and line ${wrong + 1} isn't in its place`;
    throw new Error(
      `${way.group}, ${way.name}: ${found.length} lines of ${way.lines} arrived${where}`,
    );
  }
}

function script(way: Way): string {
  const modules = way.modules ?? [];
  return [
    ...modules.map((words) => {
      const [name, ...parameters] = words.split(" ");
      // Its first packets would be lost: a link is of use a second after it is up.
      const before = name === "netconsole" ? "ip link set eth0 up; sleep 2; " : "";
      return `${before}insmod /${name}.ko ${parameters.join(" ")}`;
    }),
    "insmod /stopwatch.ko",
    ...(way.driver === undefined ? [] : [`insmod /virtio_pstore.ko ${way.driver}`]),
    "echo 1 > /sys/module/stopwatch/parameters/arm",
    `insmod /crash.ko ${way.crash}`,
    // Only a guest that goes on gets here.
    "dmesg | sed -n 's/.*crash: running: .* in \\([0-9]*\\) us.*/\\1/p' > /dev/ttyS1",
    "sleep 1",
    "",
  ].join("\n");
}

/** Boots a guest once: milliseconds by what they are of. */
async function measure(way: Way, modules: Modules): Promise<Map<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), "pstore-panic-"));
  mkdirSync(join(folder, "records"));
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  try {
    const files: Record<string, Uint8Array> = {
      "crash.ko": readFileSync(modules.crash),
      "stopwatch.ko": readFileSync(modules.stopwatch),
    };
    if (way.driver !== undefined) files["virtio_pstore.ko"] = readFileSync(modules.driver);
    for (const words of way.modules ?? []) {
      const name = `${words.split(" ")[0]}.ko`;
      files[name] = readFileSync(join(kernel(KERNEL).moduleDirectory, name));
    }
    const guest = await qemuGuest({
      kernel: KERNEL,
      driver: false,
      files,
      script: script(way),
      append: way.append,
      serial: way.serial === true ? { file: join(folder, "serial") } : "none",
      ...(way.pstoreMount === undefined ? {} : { pstoreMount: way.pstoreMount }),
      arguments: [
        ...["-serial", `file:${join(folder, "storm")}`],
        ...["-chardev", `file,id=stopwatch,path=${join(folder, "stopwatch")}`],
        ...["-device", "isa-debugcon,iobase=0xe9,chardev=stopwatch"],
        ...(way.qemu?.(folder) ?? []),
      ],
    });
    const run = ["run", "--directory", join(folder, "records"), ...(way.device ?? []), "--"];
    const argv = way.driver === undefined ? guest : [program, ...run, ...guest];
    const { output } = await runGuest(argv);
    const [, nanoseconds] = /^stopwatch (\d+)$/m.exec(read("stopwatch")) ?? [];
    const [, microseconds] = /^(\d+)\r?$/m.exec(read("storm")) ?? [];
    const milliseconds =
      way.group === STORM ? Number(microseconds) / 1e3 : Number(nanoseconds) / 1e6;
    if (Number.isNaN(milliseconds))
      throw new Error(`${way.group}, ${way.name}: no time was told: ${output}`);
    const text = way.arrived?.(folder) ?? "";
    check(way, text);
    const formatting = [...text.matchAll(/crash: formatting .* took (\d+) us/g)];
    const times = formatting.map(([, us]) => Number(us) / 1e3);
    return new Map([
      ...(times.length === 0 ? [] : [[FORMATTING, summarize(times).median] as const]),
      [way.name, milliseconds],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Options {
  readonly rounds: number;
  readonly quick?: true;
  readonly only: string;
  readonly json?: true;
}

async function main({ rounds: asked, quick, only, json }: Options): Promise<void> {
  const rounds = quick === true ? 1 : asked;
  const chosen = ways.filter(({ group, name }) => `${group}: ${name}`.includes(only));
  if (chosen.length === 0) {
    process.stderr.write(`error: no way has "${only}" in its name\n`);
    process.exitCode = 2;
    return;
  }
  const module = async (directory: string, name: string) =>
    (await buildDriver(KERNEL, { directory: join(checkout, directory), module: name })).path;
  const modules: Modules = {
    crash: await module("test/vm/crash", "crash"),
    stopwatch: await module("bench/stopwatch", "stopwatch"),
    driver: (await buildDriver(KERNEL)).path,
  };
  const measurements: Measurement[] = [];
  const boots = Array.from({ length: rounds }, (_, round) =>
    chosen
      .filter(({ once }) => once !== true || (round === 0 && quick !== true))
      .map((way) => ({ round, way })),
  ).flat();
  const start = performance.now();
  for (const [i, { round, way }] of boots.entries()) {
    const { group, name } = way;
    const seconds = Math.round((performance.now() - start) / 1000);
    process.stderr.write(`${seconds} s: boot ${i + 1} of ${boots.length}: ${group}: ${name}\n`);
    try {
      for (const [what, milliseconds] of await measure(way, modules))
        measurements.push({ round, group, name: what, milliseconds });
    } catch (error) {
      process.exitCode = 1;
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  console.log(
    report(measurements, { kernel: kernel(KERNEL).release, rounds, json: json === true }),
  );
}

function positive(text: string): number {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) throw new InvalidArgumentError("It is a number from 1 on.");
  return Number(text);
}

await new Command("npm run bench:guest --")
  .description(
    "Boots guests that print, and die, and measures how long each way takes to get their text to the host.\n" +
      "Takes about 12 minutes; nothing else should run meanwhile.",
  )
  .option("--rounds <n>", "boots of each way", positive, ROUNDS)
  .option("--quick", "one round, without the slowest ways, for a look")
  .option("--only <text>", "only ways that have this in their name, such as 'log' or 'ttyS0'", "")
  .option("--json", "print JSON")
  .action(main)
  .parseAsync();
