// `npm run bench`: what a durable record costs through the socket, beside the same system calls in C.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { EventLoop } from "../src/os/index.js";
import { compileC } from "../vm/build.js";
import { checkout, inVm } from "../vm/paths.js";
import { BenchGuest, Server } from "./guest.js";
import { type Summary, summarize, table } from "./statistics.js";

const DMESG = 1;
const CONSOLE = 2;
const KIB = 1 << 10;
const MIB = 1 << 20;

/** The goal: no more than so many times what the system calls alone take. */
const GOAL = 1.2;

interface Load {
  readonly bytes: number;
  readonly inFlight: number;
  /** Groups of `inFlight` records that one round has. */
  readonly groups: number;
}

const LOADS: readonly Load[] = [
  { bytes: 16 * KIB, inFlight: 1, groups: 200 },
  { bytes: 16 * KIB, inFlight: 64, groups: 8 },
  { bytes: MIB, inFlight: 1, groups: 40 },
  { bytes: MIB, inFlight: 64, groups: 2 },
];

const ROUNDS = 6;

/** Records of many rounds, whose removal the daemon needn't have noticed. */
const ROOM = [
  "--max-records",
  "1000000",
  "--max-bytes",
  "500G",
  "--rate",
  "off",
  "--rate-requests",
  "off",
];

/** Guest B's console writes, in one measurement of a stall. */
const STALL_SAMPLES = 400;
const STALL_LIMIT_MS = 6000;

/** Wakes for every guest's calls. */
const loop = new EventLoop();

/** One way to make records durable: stores one round's, and tells each group's milliseconds. */
interface Way {
  readonly name: string;
  readonly directory: string;
  round(load: Load, data: Uint8Array): number[];
}

function isRecord(name: string): boolean {
  return /^(rec|dmesg)-/.test(name);
}

/** Counts a round's files, compares them with what was written, removes them, and settles the disk. */
function checkAndRemove(directory: string, expected: Uint8Array, count: number): void {
  const names = readdirSync(directory).filter(isRecord);
  if (names.length !== count)
    throw new Error(`${names.length} records in ${directory}, not ${count}`);
  for (const name of names) {
    const path = join(directory, name);
    if (!readFileSync(path).equals(expected)) throw new Error(`${path} isn't what was written`);
    unlinkSync(path);
  }
  const fd = openSync(directory, "r");
  fsyncSync(fd);
  closeSync(fd);
}

function systemCalls(program: string, directory: string): Way {
  return {
    name: "system calls in C",
    directory,
    round: ({ bytes, inFlight, groups }) => {
      const args = [directory, `${bytes}`, `${groups * inFlight}`, `${inFlight}`];
      const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => Number(line) / 1e6);
    },
  };
}

function throughSocket(name: string, directory: string, guest: BenchGuest): Way {
  return {
    name,
    directory,
    round: ({ inFlight, groups }, data) => {
      const requests = guest.prepare(DMESG, data, inFlight);
      const times = Array.from({ length: groups }, () => guest.burst(requests));
      guest.discard(requests);
      return times;
    },
  };
}

interface Result {
  readonly load: Load;
  readonly way: string;
  readonly summary: Summary;
  readonly recordsPerSecond: number;
  readonly megabytesPerSecond: number;
  /** The median, in those of the system calls. */
  readonly ratio: number;
}

/**
 * Both ways in turn, round by round, so that a disk that becomes slower does so for both, and in the same
 * directory: what it costs ext4 to make a file there depends on what was removed there lately.
 */
function compare(load: Load, ways: readonly Way[]): Result[] {
  const data = Buffer.from(Uint8Array.from({ length: load.bytes }, (_, i) => i % 251));
  const times = new Map(ways.map((way) => [way, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const way of ways) {
      const took = way.round(load, data);
      checkAndRemove(way.directory, data, load.groups * load.inFlight);
      // The first round warms everything up.
      if (round > 0) times.get(way)?.push(...took);
    }
  }
  let reference = Number.NaN;
  return ways.map((way) => {
    const own = times.get(way) ?? [];
    const summary = summarize(own);
    if (Number.isNaN(reference)) reference = summary.median;
    const seconds = own.reduce((sum, time) => sum + time, 0) / 1000;
    const records = own.length * load.inFlight;
    return {
      load,
      way: way.name,
      summary,
      recordsPerSecond: records / seconds,
      megabytesPerSecond: (records * load.bytes) / seconds / 1e6,
      ratio: summary.median / reference,
    };
  });
}

interface Stall {
  readonly mode: string;
  /** Guest B's console writes while guest A is idle, and while it writes 1 MiB records without pause. */
  readonly idle: Summary;
  readonly busy: Summary;
  /** What guest A stored meanwhile. */
  readonly megabytesPerSecond: number;
}

function stall(mode: string, a: BenchGuest, b: BenchGuest, directory: string): Stall {
  const line = b.prepare(CONSOLE, Buffer.alloc(100, "x"), 1);
  const idle = Array.from({ length: STALL_SAMPLES }, () => b.burst(line));

  const data = Buffer.from(Uint8Array.from({ length: MIB }, (_, i) => i % 251));
  const large = a.prepare(DMESG, data, 32);
  const queue = a.driver.writeQueue;
  for (const { head } of large) queue.offer(head);
  let stored = 0;
  const turn = () => {
    for (let head = queue.collect(); head >= 0; head = queue.collect()) {
      stored++;
      queue.offer(head);
    }
  };
  const busy: number[] = [];
  const start = performance.now();
  const own = b.driver.writeQueue;
  while (busy.length < STALL_SAMPLES && performance.now() - start < STALL_LIMIT_MS) {
    const offered = performance.now();
    for (const { head } of line) own.offer(head);
    for (; own.collect() < 0; turn()) loop.turn(100);
    busy.push(performance.now() - offered);
    // A line every so often, as a guest prints them: at any moment of A's work.
    const until = performance.now() + 5;
    for (let left = 5; left > 0; left = until - performance.now()) {
      turn();
      loop.turn(Math.ceil(left));
    }
  }
  const seconds = (performance.now() - start) / 1000;
  const storedMeanwhile = stored;
  for (let left = large.length; left > 0; ) {
    if (queue.collect() < 0) {
      loop.turn(100);
      continue;
    }
    stored++;
    left--;
  }
  a.discard(large);
  b.discard(line);
  checkAndRemove(directory, data, stored);
  return {
    mode,
    idle: summarize(idle),
    busy: summarize(busy),
    megabytesPerSecond: (storedMeanwhile * MIB) / seconds / 1e6,
  };
}

const LOOP = "in the event loop";
const THREADS = "on sync threads";

/** Two guests, a and b, of one server; b's is idle in the comparison. */
async function twoGuests(folder: string, name: string, options: readonly string[]) {
  const directory = join(folder, name);
  mkdirSync(directory);
  const socket = (guest: string) => join(directory, `${guest}.sock`);
  const guests = ["a", "b"].flatMap((guest) => ["--guest", `${guest}=${socket(guest)}`]);
  const more = ["--directory", directory, "--bufsize", "1M", "--console", ...ROOM, ...options];
  const server = new Server(join(directory, "log"), [...guests, ...more]);
  await server.ready();
  const [a, b] = [
    await BenchGuest.connect(socket("a"), loop),
    await BenchGuest.connect(socket("b"), loop),
  ];
  return { server, a, b, directory: join(directory, "a") };
}

async function measure(folder: string): Promise<{ results: Result[]; stalls: Stall[] }> {
  const program = join(folder, "durable-write");
  await compileC(join(checkout, "bench", "durable-write.c"), program);
  const single = join(folder, "single");
  mkdirSync(single);
  const socket = join(folder, "single.sock");
  const at = ["--socket-path", socket, "--directory", single, "--bufsize", "1M", ...ROOM];
  const one = new Server(join(folder, "single.log"), at);
  await one.ready();
  const guest = await BenchGuest.connect(socket, loop);
  const threads = await twoGuests(folder, "threads", []);
  const inLoop = await twoGuests(folder, "loop", ["--sync-threads", "0"]);
  try {
    const pairs = [
      [systemCalls(program, single), throughSocket(`virtio-pstore, ${LOOP}`, single, guest)],
      [
        systemCalls(program, threads.directory),
        throughSocket(`virtio-pstore, ${THREADS}`, threads.directory, threads.a),
      ],
    ];
    const results = LOADS.flatMap((load) => pairs.flatMap((pair) => compare(load, pair)));
    const stalls = [
      stall(LOOP, inLoop.a, inLoop.b, inLoop.directory),
      stall(THREADS, threads.a, threads.b, threads.directory),
    ];
    return { results, stalls };
  } finally {
    for (const client of [guest, threads.a, threads.b, inLoop.a, inLoop.b]) client.close();
    await Promise.all([one, threads.server, inLoop.server].map((server) => server.stop()));
  }
}

const ms = (time: number) => time.toFixed(time < 10 ? 3 : 1);
const size = (bytes: number) => (bytes < MIB ? `${bytes / KIB} KiB` : `${bytes / MIB} MiB`);

function print(folder: string, results: readonly Result[], stalls: readonly Stall[]): void {
  const rows = results.map(({ load, way, summary, ...rest }) => [
    `${size(load.bytes)}, ${load.inFlight} in flight: ${way}`,
    ms(summary.median),
    ms(summary.p99),
    rest.recordsPerSecond.toFixed(0),
    rest.megabytesPerSecond.toFixed(0),
    `${rest.ratio.toFixed(2)}${rest.ratio > GOAL ? " *" : "  "}`,
  ]);
  const head = ["durable records", "median ms", "p99 ms", "records/s", "MB/s", "ratio  "];
  console.log(`In ${folder}, ${ROUNDS} interleaved rounds; times are of all records in flight.\n`);
  console.log(table([head, ...rows]));
  const missed = results.some(({ ratio }) => ratio > GOAL);
  console.log(
    missed
      ? `* more than the goal of ${GOAL} times the system calls\n`
      : `All within ${GOAL} times the system calls.\n`,
  );
  console.log(
    "Guest B's console writes of 100 bytes, while guest A stores 1 MiB records without pause:\n",
  );
  console.log(
    table([
      ["waiting for the disk", "idle median ms", "busy median ms", "p99 ms", "max ms", "A's MB/s"],
      ...stalls.map(({ mode, idle, busy, megabytesPerSecond }) => [
        mode,
        ms(idle.median),
        ms(busy.median),
        ms(busy.p99),
        ms(busy.max),
        megabytesPerSecond.toFixed(0),
      ]),
    ]),
  );
}

async function main({ json }: { readonly json?: true }): Promise<void> {
  mkdirSync(inVm(), { recursive: true });
  const folder = mkdtempSync(inVm("bench-"));
  try {
    const { results, stalls } = await measure(folder);
    if (json === true) {
      console.log(JSON.stringify({ folder, goal: GOAL, results, stalls }, null, 2));
    } else {
      print(folder, results, stalls);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await new Command("npm run bench --")
  .description(
    "Measures what a durable record costs through the socket, beside the same system calls in C.\n" +
      "Takes about 6 minutes; nothing else should run meanwhile.",
  )
  .option("--json", "print JSON")
  .action(main)
  .parseAsync();
