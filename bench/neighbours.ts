// npm run bench:neighbours: see --help.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inVm } from "../vm/paths.js";
import { Server } from "./guest.js";
import { ATTACKS, type Attack, type Stored } from "./neighbours/attacks.js";
import type { Latencies } from "./neighbours/neighbour.js";
import { type Summary, summarize, table } from "./statistics.js";

const HELP = `Usage: npm run bench:neighbours -- [--attack NAME,…] [--attackers N,…] [--seconds N] [--json]

What a guest feels of others that mean ill: its requests (a line of console every 4 ms) and its panic of 1 MiB,
while one and then ten (--attackers) other guests of the same serve attack, some seconds (5) each. Beside each
stands a control: the same guest, with as many processes that burn a processor and make as many files durable,
but are no guests. Attackers and burners run at nice 19 on one processor, serve and the guest on another. Their
rates are off. All of it takes some twelve minutes on two processors.

Wanted: of the requests 99 of 100 within 20 ms, or 1.5 times what they take in the control where that is above
13 ms; the panic within twice what it takes in the control.

Attacks:
${ATTACKS.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`).join("\n")}
`;

const WANTED_MS = 20;
const SLOW_CONTROL_MS = 13;
const SLOW_CONTROL_RATIO = 1.5;
const PANIC_RATIO = 2;

/** What comes at first, when all begin at once, isn't measured. */
const SETTLE_MS = 1000;
/** A process that says nothing for so long never will. */
const PATIENCE_MS = 180_000;

const cores = availableParallelism() > 1;
const onCore = (core: number): string[] => (cores ? ["taskset", "-c", `${core}`] : []);
const WITH_NEIGHBOUR = onCore(1);
const WITH_ATTACKERS = ["nice", "-n", "19", ...onCore(0)];

const SERVE = ["--console", "--rate", "off", "--rate-requests", "off"];

/** What has to end with this process. */
const running = new Set<{ kill(): void }>();
process.on("exit", () => {
  for (const one of running) one.kill();
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** A process of this bench, and the lines that it prints. */
class Helper {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #said = "";
  #wrong = "";
  #wake: () => void = () => undefined;

  constructor(before: readonly string[], name: string, args: readonly string[]) {
    const script = join(import.meta.dirname, "neighbours", `${name}.js`);
    const [command = "", ...rest] = [...before, process.execPath, script, ...args];
    this.#name = `${name} ${args[0]}`;
    this.#child = spawn(command, rest, { stdio: "pipe" });
    running.add(this);
    this.#child.stdout?.on("data", (bytes: Buffer) => {
      const lines = (this.#said + bytes.toString()).split("\n");
      this.#said = lines.pop() ?? "";
      this.#lines.push(...lines);
      this.#wake();
    });
    this.#child.stderr?.on("data", (bytes: Buffer) => {
      this.#wrong += bytes.toString();
    });
    this.#child.on("close", () => {
      running.delete(this);
      this.#wake();
    });
  }

  /** The next line. */
  async line(): Promise<string> {
    const timer = setTimeout(() => this.kill(), PATIENCE_MS);
    try {
      for (;;) {
        const line = this.#lines.shift();
        if (line !== undefined) return line;
        this.expectAlive();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The last line there is. */
  get last(): string | undefined {
    return this.#lines.at(-1);
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  expectAlive(): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return;
    throw new Error(`${this.#name} ended (${exitCode ?? signalCode}): ${this.#wrong}`);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.on("close", resolve));
    this.kill();
    await ended;
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What attackers store in a second, all together. */
interface Load {
  readonly recordsPerSecond: number;
  readonly bytesPerSecond: number;
}

interface Measured {
  readonly requests: Summary;
  readonly panics: Summary;
}

interface Row {
  readonly attack: string;
  readonly attackers: number;
  readonly load: Load;
  readonly attacked: Measured;
  readonly control: Measured;
}

/** A serve with one good guest and some others, whose names are told to `start`. */
async function measure(
  seconds: number,
  others: number,
  prepare: (directory: string) => void,
  start: (socket: string, directory: string) => Helper,
): Promise<Measured & { readonly load: Load }> {
  const folder = mkdtempSync(inVm("bench-"));
  const records = join(folder, "records");
  const names = Array.from({ length: others }, (_, i) => `other${i}`);
  const socket = (name: string) => join(folder, `${name}.sock`);
  const helpers: Helper[] = [];
  for (const name of names) {
    mkdirSync(join(records, name), { recursive: true });
    prepare(join(records, name));
  }
  const guests = ["good", ...names].flatMap((name) => ["--guest", `${name}=${socket(name)}`]);
  const log = join(folder, "log");
  const server = new Server(log, ["--directory", records, ...SERVE, ...guests], WITH_NEIGHBOUR);
  running.add(server);
  try {
    await server.ready();
    const neighbour = new Helper(WITH_NEIGHBOUR, "neighbour", [socket("good"), `${seconds}`]);
    helpers.push(neighbour);
    await neighbour.line();
    for (const name of names) helpers.push(start(socket(name), join(records, name)));
    for (const helper of helpers) if (helper !== neighbour) await helper.line();
    await sleep(SETTLE_MS);
    const before = helpers.map(storedBy);
    const began = performance.now();
    neighbour.say("go");
    const { requests, panics } = JSON.parse(await neighbour.line()) as Latencies;
    const took = (performance.now() - began) / 1000;
    const rate = (of: (stored: Stored) => number) =>
      before.reduce((sum, one, i) => {
        const helper = helpers[i];
        helper?.expectAlive();
        return sum + (helper === undefined ? 0 : of(storedBy(helper)) - of(one));
      }, 0) / took;
    return {
      requests: summarize(requests),
      panics: summarize(panics),
      load: {
        recordsPerSecond: rate(({ records }) => records),
        bytesPerSecond: rate(({ bytes }) => bytes),
      },
    };
  } finally {
    await Promise.all(helpers.map((helper) => helper.end()));
    await server.stop();
    running.delete(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

function storedBy(helper: Helper): Stored {
  const { last } = helper;
  return last?.startsWith("{") === true ? (JSON.parse(last) as Stored) : { records: 0, bytes: 0 };
}

/** What the guest feels of as many processes that store as much, but are no guests. */
function control(seconds: number, attackers: number, load: Load): Promise<Measured> {
  const { recordsPerSecond, bytesPerSecond } = load;
  const each = recordsPerSecond / attackers;
  const bytes = recordsPerSecond === 0 ? 0 : bytesPerSecond / recordsPerSecond;
  let number = 0;
  return measure(
    seconds,
    attackers,
    () => undefined,
    (_socket, directory) => {
      const own = join(directory, "..", "..", `burner${number++}`);
      mkdirSync(own);
      return new Helper(WITH_ATTACKERS, "burner", [own, `${each}`, `${bytes}`]);
    },
  );
}

const isSlow = ({ requests }: Measured) => requests.p99 > SLOW_CONTROL_MS;
const wantedMs = (row: Row) =>
  isSlow(row.control) ? SLOW_CONTROL_RATIO * row.control.requests.p99 : WANTED_MS;
const requestsMet = (row: Row) => row.attacked.requests.p99 <= wantedMs(row);
const panicMet = ({ attacked, control }: Row) =>
  attacked.panics.median <= PANIC_RATIO * control.panics.median;

const ms = (time: number) => time.toFixed(time < 10 ? 2 : time < 100 ? 1 : 0);
const verdict = (met: boolean) => (met ? "ok" : "MISSED");

function print(rows: readonly Row[]): void {
  const head = [
    "attack, attackers",
    "median ms",
    "p99",
    "max",
    "control's p99",
    "",
    "panic ms",
    "control's",
    "ratio",
    "",
    "files/s",
  ];
  const cells = rows.map((row) => {
    const { attacked, control, load } = row;
    return [
      `${row.attack}, ${row.attackers}`,
      ms(attacked.requests.median),
      ms(attacked.requests.p99),
      ms(attacked.requests.max),
      ms(control.requests.p99),
      verdict(requestsMet(row)),
      ms(attacked.panics.median),
      ms(control.panics.median),
      (attacked.panics.median / control.panics.median).toFixed(2),
      verdict(panicMet(row)),
      load.recordsPerSecond.toFixed(0),
    ];
  });
  console.log(table([head, ...cells]));
  const missed = rows.filter((row) => !requestsMet(row) || !panicMet(row));
  console.log(
    missed.length === 0
      ? "\nAll within what is wanted."
      : `\n${missed.length} of ${rows.length} miss what is wanted.`,
  );
  if (!cores) console.log("There is only one processor: nothing was kept apart.");
}

async function run(
  attacks: readonly Attack[],
  counts: readonly number[],
  seconds: number,
  rows: Row[],
): Promise<void> {
  /** Of attacks that store nothing there is one control for each number. */
  const idle = new Map<number, Measured>();
  for (const attack of attacks) {
    for (const attackers of counts) {
      process.stderr.write(`${attack.name}, ${attackers} …\n`);
      const start = (socket: string) =>
        new Helper(WITH_ATTACKERS, "attacker", [attack.name, socket]);
      const prepare = attack.prepare ?? (() => undefined);
      const { load, ...attacked } = await measure(seconds, attackers, prepare, start);
      const stores = load.recordsPerSecond >= 1;
      const known = stores ? undefined : idle.get(attackers);
      const beside = known ?? (await control(seconds, attackers, load));
      if (!stores) idle.set(attackers, beside);
      rows.push({ attack: attack.name, attackers, load, attacked, control: beside });
    }
  }
}

function usage(why: string): never {
  process.stderr.write(`${why}\n\n${HELP}`);
  process.exit(2);
}

function parsed() {
  try {
    return parseArgs({
      options: {
        attack: { type: "string" },
        attackers: { type: "string", default: "1,10" },
        seconds: { type: "string", default: "5" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
}

const values = parsed();
if (values.help) {
  process.stdout.write(HELP);
} else {
  const names = values.attack?.split(",") ?? ATTACKS.map(({ name }) => name);
  const attacks = names.map(
    (name) => ATTACKS.find((one) => one.name === name) ?? usage(`There is no attack ${name}.`),
  );
  const counts = values.attackers.split(",").map(Number);
  const seconds = Number(values.seconds);
  if (!counts.every((count) => Number.isInteger(count) && count > 0 && count <= 100)) {
    usage("--attackers takes whole numbers from 1 to 100.");
  }
  if (!(seconds > 0)) usage("--seconds takes a number above 0.");
  mkdirSync(inVm(), { recursive: true });
  const rows: Row[] = [];
  try {
    await run(attacks, counts, seconds, rows);
  } finally {
    if (values.json) console.log(JSON.stringify(rows, null, 2));
    else print(rows);
  }
}
