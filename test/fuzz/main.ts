// npm run fuzz: see --help.
import { fork } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { inputName } from "./target.js";
import { TARGETS } from "./targets.js";
import { Watchdog } from "./watchdog.js";
import { CURRENT_BYTES, type WorkerMessage, type WorkerStart } from "./worker-messages.js";

const HELP = `Usage: npm run fuzz -- [options]

Gives inputs to the code that reads what guests and front-ends send: first those that are kept in
test/fuzz/corpus, then others, made of them and anew. Ends at the first that breaks a rule.

  --inputs N     inputs for each target (default 1000000)
  --target NAME  only this one: ${Object.keys(TARGETS).join(", ")}
  --seed N       the same inputs again (default: others each time; it is printed)
  --keep         adds inputs to the corpus that lead to whatever others led to
  --replay FILE  this input alone; --target is the name of its folder where not given
`;

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const workerFile = fileURLToPath(new URL("./worker.js", import.meta.url));

const PROGRESS_MS = 2000;

/** What is wrong with the command line. */
class UsageError extends Error {}

/** What a worker saw. */
type Seen = Pick<Extract<WorkerMessage, { kind: "done" }>, "outcomes" | "slowestMs">;

/** An input that broke a rule, or ended or stopped the process. */
interface Failure {
  readonly error: string;
  readonly input: Buffer;
}

function corpusOf(target: string): string[] {
  const folder = join(root, "test/fuzz/corpus", target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name));
}

/** Runs one worker to its end: what it saw, or how it failed. */
function work(start: WorkerStart, onProgress: (inputs: number) => void): Promise<Seen | Failure> {
  writeFileSync(start.current, Buffer.alloc(CURRENT_BYTES));
  const worker = fork(workerFile, [JSON.stringify(start)]);
  return new Promise((settle) => {
    let result: Seen | Failure | undefined;
    let hung: string | undefined;
    const watchdog = new Watchdog(worker.pid ?? 0, (how) => {
      hung = how;
      worker.kill("SIGKILL");
    });
    const currentInput = () => {
      const current = readFileSync(start.current);
      return current.subarray(4, 4 + current.readUInt32LE(0));
    };
    worker.on("message", (message: WorkerMessage) => {
      watchdog.progress();
      if (message.kind === "progress") onProgress(message.inputs);
      else if (message.kind === "done") result = message;
      else result = { error: message.error, input: currentInput() };
    });
    worker.on("exit", (status, signal) => {
      watchdog.end();
      const error = hung ?? `the process ended: ${signal ?? status}`;
      settle(result ?? { error, input: currentInput() });
    });
  });
}

/** Fuzzes one target with all cores, and returns whether no input broke a rule. */
async function fuzz(
  target: string,
  inputs: number,
  seed: number,
  corpus: readonly string[],
  keep: boolean,
): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  const workers = keep ? 1 : Math.min(availableParallelism(), Math.ceil(inputs / 1000));
  const began = performance.now();
  const progress = Array.from({ length: workers }, () => 0);
  const timer = setInterval(() => {
    const sum = progress.reduce((all, some) => all + some, 0);
    if (process.stderr.isTTY) process.stderr.write(`\r${target}: ${sum} of ${inputs} inputs …`);
  }, PROGRESS_MS);
  try {
    const results = await Promise.all(
      progress.map(async (_, i) => {
        const share = Math.ceil((inputs * (i + 1)) / workers) - Math.ceil((inputs * i) / workers);
        const start = { target, inputs: share, seed: seed + i, corpus };
        const current = join(folder, `current-${i}`);
        const keepIn = keep ? { keepIn: join(root, "test/fuzz/corpus", target) } : {};
        return work({ ...start, current, ...keepIn }, (count) => {
          progress[i] = count;
        });
      }),
    );
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    const seconds = (performance.now() - began) / 1000;
    const outcomes = new Set<string>();
    let slowestMs = 0;
    for (const result of results) {
      if ("error" in result) return fail(target, result);
      for (const outcome of result.outcomes) outcomes.add(outcome);
      slowestMs = Math.max(slowestMs, result.slowestMs);
    }
    const rate = Math.round(inputs / seconds);
    console.log(
      `${target}: ${inputs} inputs in ${seconds.toFixed(1)} s (${rate} a second), ` +
        `${outcomes.size} different outcomes, ${Math.ceil(slowestMs)} ms of a processor for the slowest; ` +
        "a good guest is served",
    );
    return true;
  } finally {
    clearInterval(timer);
    rmSync(folder, { recursive: true });
  }
}

function fail(target: string, { error, input }: Failure): false {
  const folder = join(root, ".fuzz", target);
  const file = join(folder, inputName(input));
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, input);
  console.error(`${target}: an input of ${input.length} bytes breaks a rule: ${error}`);
  console.error(`To see it again: npm run fuzz -- --replay ${file}`);
  return false;
}

function numberOption(name: string, text: string, least: number): number {
  const number = Number(text);
  if (/^[0-9]{1,10}$/.test(text) && number >= least) return number;
  throw new UsageError(`--${name} wants a number from ${least} on, not ${text}`);
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      inputs: { type: "string", default: "1000000" },
      target: { type: "string" },
      seed: { type: "string" },
      keep: { type: "boolean", default: false },
      replay: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return true;
  }
  const { replay, keep } = values;
  const name =
    values.target ?? (replay === undefined ? undefined : basename(dirname(resolve(replay))));
  if (name !== undefined && !(name in TARGETS)) {
    throw new UsageError(`${name} is no target: ${Object.keys(TARGETS).join(", ")}`);
  }
  if (replay !== undefined && name !== undefined) return fuzz(name, 1, 0, [replay], false);
  const inputs = numberOption("inputs", values.inputs, 1);
  const seed =
    values.seed === undefined
      ? Math.floor(Math.random() * 2 ** 31)
      : numberOption("seed", values.seed, 0);
  console.log(`seed ${seed}`);
  for (const target of name === undefined ? Object.keys(TARGETS) : [name]) {
    if (!(await fuzz(target, inputs, seed, corpusOf(target), keep))) return false;
  }
  return true;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  const isUsage = error instanceof UsageError || (error instanceof Error && "code" in error);
  if (!isUsage) throw error;
  console.error(`${error.message}\n\n${HELP}`);
  process.exitCode = 2;
}
