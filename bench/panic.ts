// `npm run bench:guest`: what it costs a dying guest to hand over its log, and text that it prints then.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeRecord, findRecords, groupDumps, joinDump } from "../src/report/index.js";
import { buildDriver } from "../vm/build.js";
import { qemuGuest, runGuest } from "../vm/guest.js";
import { checkout } from "../vm/paths.js";
import { summarize, table } from "./statistics.js";

const KERNEL = "6.1";
const ROUNDS = 5;

/** Of 100 bytes each, to which the kernel adds its prefix. */
const LOG_LINES = 7000;
const TEXT_LINES = { "1 MB": 10_000, "8 MB": 80_000 } as const;

/** A boot of the guest that dies in one way. */
interface Way {
  readonly name: string;
  /** Rows that are compared have the same. */
  readonly group: string;
  readonly append: string;
  readonly serial?: boolean;
  readonly arguments?: (folder: string) => readonly string[];
  /** Parameters of the driver; without them it isn't loaded. */
  readonly driver?: string;
  readonly device?: readonly string[];
  readonly pstoreMount?: string;
  readonly crash: string;
  /** The number of lines that have to arrive; none where nothing is to. */
  readonly lines?: number;
  /** What arrived on the host. */
  readonly arrived?: (folder: string) => string;
}

const program = join(checkout, "bin", "virtio-pstore");

const dumps = (folder: string) =>
  groupDumps(findRecords(join(folder, "records")).map(decodeRecord))
    .map((dump) => joinDump(dump).toString())
    .join("");

const consoles = (folder: string) =>
  readdirSync(join(folder, "records"))
    .filter((name) => name.startsWith("console-"))
    .map((name) => readFileSync(join(folder, "records", name), "utf8"))
    .join("");

const file = (name: string) => (folder: string) => readFileSync(join(folder, name), "utf8");

function logWays(): Way[] {
  const log = {
    group: "a log of 700 KB",
    append: "log_buf_len=1M",
    crash: `how=panic lines=${LOG_LINES}`,
    pstoreMount: "kmsg_bytes=4194304",
  };
  const lines = LOG_LINES;
  return [
    { ...log, name: "nothing" },
    {
      ...log,
      name: "ours, raw",
      driver: "dump=raw",
      crash: `${log.crash} format=3`,
      lines,
      arrived: dumps,
    },
    {
      ...log,
      name: "pstore's own path, our device",
      driver: "dump=classic",
      lines,
      arrived: dumps,
    },
    {
      ...log,
      name: "ERST, 8K records",
      arguments: (folder) => [
        ...[
          "-object",
          `memory-backend-file,id=erst,mem-path=${join(folder, "erst")},size=4M,share=on`,
        ],
        ...["-device", "acpi-erst,memdev=erst"],
      ],
    },
  ];
}

function textWays(size: keyof typeof TEXT_LINES): Way[] {
  const lines = TEXT_LINES[size];
  const text = { group: `${size} of text`, crash: `how=panic panic_lines=${lines}` };
  const loud = "loglevel=8";
  // No console of this name comes; without the word the screen's would be one, and it costs the most.
  const none = "console=none";
  return [
    { ...text, name: "printk, no console", append: none },
    {
      ...text,
      name: "a console that does nothing",
      append: `${none} ${loud}`,
      crash: `${text.crash} sink=null`,
    },
    {
      ...text,
      name: "ours, console",
      append: none,
      driver: "dump=raw",
      device: ["--console"],
      lines,
      arrived: consoles,
    },
    { ...text, name: "ttyS0", append: loud, serial: true, lines, arrived: file("serial") },
  ];
}

interface Measured {
  readonly milliseconds: number;
  /** What formatting the log once into memory took, where the guest measured it. */
  readonly formatting: readonly number[];
}

/** Throws where a line is missing, twice there, or not in its place. */
function check(way: Way, text: string): void {
  const found = [...text.matchAll(/crash-line (\d{8}) of/g)].map((match) => Number(match[1]));
  const wrong = found.findIndex((number, i) => number !== i + 1);
  if (found.length !== way.lines || wrong !== -1) {
    throw new Error(`${way.group}, ${way.name}: ${found.length} lines of ${way.lines} arrived`);
  }
}

async function measure(
  way: Way,
  crash: string,
  stopwatch: string,
  driver: string,
): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "pstore-panic-"));
  mkdirSync(join(folder, "records"));
  try {
    const files: Record<string, Uint8Array> = {
      "crash.ko": readFileSync(crash),
      "stopwatch.ko": readFileSync(stopwatch),
    };
    if (way.driver !== undefined) files["virtio_pstore.ko"] = readFileSync(driver);
    const script = [
      "insmod /stopwatch.ko",
      ...(way.driver === undefined ? [] : [`insmod /virtio_pstore.ko ${way.driver}`]),
      "echo 1 > /sys/module/stopwatch/parameters/arm",
      `insmod /crash.ko ${way.crash}`,
      "",
    ].join("\n");
    const guest = await qemuGuest({
      kernel: KERNEL,
      driver: false,
      files,
      script,
      append: way.append,
      serial: way.serial === true ? { file: join(folder, "serial") } : "none",
      ...(way.pstoreMount === undefined ? {} : { pstoreMount: way.pstoreMount }),
      arguments: [
        ...["-chardev", `file,id=stopwatch,path=${join(folder, "stopwatch")}`],
        ...["-device", "isa-debugcon,iobase=0xe9,chardev=stopwatch"],
        ...(way.arguments?.(folder) ?? []),
      ],
    });
    const run = [
      program,
      "run",
      "--directory",
      join(folder, "records"),
      ...(way.device ?? []),
      "--",
    ];
    const argv = way.driver === undefined ? guest : [...run, ...guest];
    const { output } = await runGuest(argv, { timeoutMs: 180_000 });
    const [, ns] = /^stopwatch (\d+)$/m.exec(file("stopwatch")(folder)) ?? [];
    if (ns === undefined) throw new Error(`${way.group}, ${way.name}: no time was told: ${output}`);
    const text = way.arrived?.(folder) ?? "";
    if (way.lines !== undefined) check(way, text);
    const formatting = [...text.matchAll(/crash: formatting .* took (\d+) us/g)];
    return {
      milliseconds: Number(ns) / 1e6,
      formatting: formatting.map((match) => Number(match[1]) / 1e3),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Row {
  readonly group: string;
  readonly name: string;
  readonly times: number[];
}

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at === -1 ? undefined : process.argv[at + 1];
};

async function main(): Promise<void> {
  const json = process.argv.includes("--json");
  const rounds = Number(option("--rounds") ?? ROUNDS);
  const ways = [...logWays(), ...textWays("1 MB"), ...textWays("8 MB")].filter(({ group }) =>
    group.includes(option("--only") ?? ""),
  );
  const module = async (directory: string, name: string) =>
    (await buildDriver(KERNEL, { directory: join(checkout, directory), module: name })).path;
  const crash = await module("test/vm/crash", "crash");
  const stopwatch = await module("bench/stopwatch", "stopwatch");
  const { path: driver } = await buildDriver(KERNEL);

  const rows = new Map<string, Row>();
  const add = (group: string, name: string, times: readonly number[]) => {
    const key = `${group}, ${name}`;
    const row = rows.get(key) ?? { group, name, times: [] };
    row.times.push(...times);
    rows.set(key, row);
  };
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways) {
      process.stderr.write(`round ${round} of ${rounds}: ${way.group}, ${way.name}\n`);
      const { milliseconds, formatting } = await measure(way, crash, stopwatch, driver);
      add(way.group, way.name, [milliseconds]);
      if (formatting.length > 0) add(way.group, "formatting it once into memory", formatting);
    }
  }
  report([...rows.values()], rounds, json);
}

/** What each group's times are compared with. */
const OURS = /^ours/;

function report(rows: readonly Row[], rounds: number, json: boolean): void {
  const median = ({ times }: Row) => summarize(times).median;
  const results = rows.map((row) => {
    const ours = rows.find(({ group, name }) => group === row.group && OURS.test(name));
    return {
      group: row.group,
      way: row.name,
      medianMs: median(row),
      leastMs: Math.min(...row.times),
      mostMs: Math.max(...row.times),
      /** How many times ours it takes. */
      timesOurs: ours === undefined ? null : median(row) / median(ours),
    };
  });
  if (json) {
    console.log(JSON.stringify({ kernel: KERNEL, rounds, results }, null, 2));
    return;
  }
  console.log(
    `Linux ${KERNEL} under emulation; ${rounds} interleaved rounds, every line's arrival checked.`,
  );
  console.log("From the first panic notifier to the end of kmsg_dump(), in milliseconds:\n");
  const head = ["", "median", "least", "most", "times ours"];
  const lines = results.map(({ group, way, medianMs, leastMs, mostMs, timesOurs }) => [
    `${group}: ${way}`,
    ...[medianMs, leastMs, mostMs].map((ms) => ms.toFixed(1)),
    timesOurs === null ? "-" : timesOurs.toFixed(2),
  ]);
  console.log(table([head, ...lines]));
}

await main();
