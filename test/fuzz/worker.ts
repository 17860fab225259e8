// Fuzzes one target in a process of its own, which an input may end.
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Mapping } from "../../src/os/index.js";
import { InputTimes } from "./input-time.js";
import { MAX_INPUT_BYTES, mutate } from "./mutate.js";
import { Random } from "./random.js";
import { type FuzzTarget, inputName } from "./target.js";
import { TARGETS } from "./targets.js";
import { CURRENT_BYTES, type WorkerMessage, type WorkerStart } from "./worker-messages.js";

const PROGRESS_INPUTS = 1000;

/** A good guest is looked after so often. */
const CHECK_INPUTS = 20_000;

/** Inputs to be changed further, one for each outcome. */
const MAX_KEPT = 4096;

/** Resolves when the message is on its way: a process that ends before takes it along. */
const tell = (message: WorkerMessage): Promise<void> =>
  new Promise((resolve) => {
    process.send?.(message, () => {
      resolve();
    });
  });

/** A file as memory: what is written there outlives this process. */
function sharedFile(path: string, length: number): Buffer {
  const fd = openSync(path, "r+");
  const mapping = new Mapping(fd, 0n, BigInt(length));
  closeSync(fd);
  return Buffer.from(mapping.view(0n, length));
}

async function fuzz(start: WorkerStart, target: FuzzTarget): Promise<void> {
  const current = sharedFile(start.current, CURRENT_BYTES);
  const random = new Random(start.seed);
  const corpus = start.corpus.map((file) => readFileSync(file).subarray(0, MAX_INPUT_BYTES));
  const kept = new Map<string, Buffer>();
  const parents: Buffer[] = [];
  let done = 0;
  const times = new InputTimes();
  try {
    for (; done < start.inputs; done++) {
      const input = corpus[done] ?? nextInput(parents, target, random);
      current.writeUInt32LE(input.length, 0);
      current.set(input, 4);
      const outcome = times.run(() => target.run(input));
      if (!kept.has(outcome) && kept.size < MAX_KEPT) {
        kept.set(outcome, input);
        parents.push(input);
      }
      if (done % PROGRESS_INPUTS === 0) await tell({ kind: "progress", inputs: done });
      if (done % CHECK_INPUTS === 0) await target.check();
    }
    await target.check();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    await tell({ kind: "failed", inputs: done, error: text });
    return;
  }
  if (start.keepIn !== undefined) keep(start.keepIn, kept);
  await tell({ kind: "done", outcomes: [...kept.keys()], slowestMs: times.slowestMs });
}

/** Puts those inputs into the corpus that together have all words of all outcomes, the shortest first. */
function keep(folder: string, inputs: ReadonlyMap<string, Buffer>): void {
  mkdirSync(folder, { recursive: true });
  const seen = new Set<string>();
  for (const [outcome, input] of [...inputs].sort((a, b) => a[1].length - b[1].length)) {
    const words = outcome.split(" ").filter((word) => !seen.has(word));
    if (words.length === 0) continue;
    for (const word of words) seen.add(word);
    writeFileSync(join(folder, inputName(input)), input);
  }
}

function nextInput(parents: readonly Buffer[], target: FuzzTarget, random: Random): Buffer {
  if (parents.length > 0 && random.oneIn(2)) {
    return mutate(random.pick(parents), random.pick(parents), random);
  }
  return target.generate(random).subarray(0, MAX_INPUT_BYTES);
}

const start = JSON.parse(process.argv[2] ?? "{}") as WorkerStart;
// Errors are made by the thousand; where one comes from is told when its input is replayed.
if (start.inputs > 1) Error.stackTraceLimit = 0;
const make = TARGETS[start.target];
if (make === undefined) throw new RangeError(`no target ${start.target}`);
const target = make();
await fuzz(start, target);
target.close();
process.disconnect?.();
