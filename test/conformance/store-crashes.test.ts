import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { type OnErase, StoreError } from "../../src/store/index.js";
import { crashStates, Recorder, restore } from "../support/crash-states.js";
import { checkStore } from "../support/store-check.js";
import { changes, failure, wrapFiles, writeHalf } from "../support/store-files.js";
import { Scenario, type Told } from "../support/store-scenario.js";

/** In memory where there is such a file system: states are many, and the disk isn't what is tested. */
const root = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(root, "pstore-crash-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

let made = 0;
const newDirectory = (): string => join(folder, `${made++}`);

const everyWay = ["keep", "remove"] as const;

test.each(everyWay)(
  "the scenario of these tests drops records, goes on in new files, and loses nothing (%s)",
  (onErase) => {
    const recorder = new Recorder();
    const options = { files: recorder.files, onErase };
    new Scenario(newDirectory(), options, recorder.told).run();
    const kinds = recorder.operations.map((one) =>
      one.kind === "told" ? one.told.kind : one.kind,
    );
    expect(kinds.filter((kind) => kind === "stored")).toHaveLength(7);
    expect(kinds.filter((kind) => kind === "erased")).toHaveLength(2);
    expect(kinds.filter((kind) => kind === "line")).toHaveLength(14);
    const removed = recorder.operations.filter(({ kind }) => kind === "unlink");
    expect(removed.length).toBeGreaterThan(onErase === "keep" ? 1 : 2);
  },
);

/** How many states there were; each is looked at by a fresh store. */
function checkStates(
  onErase: OnErase,
  { operations }: Recorder,
  isWanted?: (end: number) => boolean,
): number {
  let states = 0;
  for (const state of crashStates(operations, isWanted)) {
    states++;
    const directory = mkdtempSync(join(folder, "state-"));
    restore(directory, state);
    try {
      checkStore(directory, onErase, state.expected);
    } catch (error) {
      const names = [...state.files].map(([name, data]) => `${name}: ${data.toString("latin1")}`);
      throw new Error(`after ${state.expected.told.length} answers, with\n${names.join("\n")}`, {
        cause: error,
      });
    }
    rmSync(directory, { recursive: true });
  }
  return states;
}

describe("a crash of the host, after any system call", () => {
  test.each(everyWay)("whatever the disk kept of what wasn't synced (%s)", (onErase) => {
    const recorder = new Recorder();
    const options = { files: recorder.files, onErase };
    new Scenario(newDirectory(), options, recorder.told).run();
    expect(checkStates(onErase, recorder)).toBeGreaterThan(500);
  });

  test("whatever was done before: longer runs, of which some calls are drawn", () => {
    const steps = fc.array(fc.nat(13), { minLength: 20, maxLength: 40, size: "max" });
    const drawn = fc.array(fc.nat(1000), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(fc.constantFrom(...everyWay), steps, drawn, (onErase, given, some) => {
        const recorder = new Recorder();
        const options = { files: recorder.files, onErase };
        new Scenario(newDirectory(), options, recorder.told).runSteps(given);
        const { length } = recorder.operations;
        const ends = new Set(some.map((one) => Math.floor((one * length) / 1000)));
        checkStates(onErase, recorder, (end) => ends.has(end));
      }),
      { numRuns: 20 },
    );
  });
});

describe("a process that is killed", () => {
  const program = join(
    import.meta.dirname,
    "..",
    "..",
    "dist",
    "test",
    "support",
    "dying-store.js",
  );

  /** False where it came to its end before its Nth system call. */
  async function dies(onErase: OnErase, at: number): Promise<boolean> {
    const directory = newDirectory();
    const child = spawn(process.execPath, [program, directory, onErase, `${at}`]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (bytes: Buffer) => {
      stdout += bytes.toString();
    });
    child.stderr.on("data", (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    await once(child, "close");
    if (child.exitCode !== null && child.exitCode !== 0) throw new Error(stderr);
    const said = stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Told | { readonly removes: string });
    const told = said.flatMap((one) => ("kind" in one ? [one] : []));
    const removed = said.flatMap((one) => ("removes" in one ? [one.removes] : []));
    checkStore(directory, onErase, { told, removed, highest: 0n });
    return child.signalCode === "SIGKILL";
  }

  // What erasing removes makes no difference here that the states above don't show.
  test("at any system call of its store", async () => {
    let next = 1;
    let ended = false;
    const worker = async () => {
      while (!ended) if (!(await dies("keep", next++))) ended = true;
    };
    await Promise.all([worker(), worker()]);
    expect(next).toBeGreaterThan(60);
  });
});

describe("a system call that fails", () => {
  /** How often in a row: a passing fault, one that also meets what would mend it, one that lasts. */
  const LENGTHS = [1, 2, 25] as const;

  function runWithFault(onErase: OnErase, number: number, from: number, length: number): boolean {
    const directory = newDirectory();
    const told: Told[] = [];
    const removed: string[] = [];
    let count = 0;
    const files = wrapFiles((call, args, run) => {
      if (changes(call, args)) {
        count++;
        if (count >= from && count < from + length) {
          if (call === "write") writeHalf(args);
          throw failure(call, number);
        }
      }
      if (call === "unlink") removed.push(readFileSync(args[0] as string, "latin1"));
      return run();
    });
    const push = (one: Told) => told.push(one);
    try {
      new Scenario(directory, { files, onErase }, push).run();
    } catch (error) {
      // While it started: told to the operator, and nothing has begun.
      if (!(error instanceof StoreError)) throw error;
    }
    checkStore(directory, onErase, { told, removed, highest: 0n });
    return count >= from;
  }

  test.each(["ENOSPC", "EIO", "EDQUOT", "EROFS"] as const)(
    "with %s, at any place: it is told, and service goes on",
    (name) => {
      for (const onErase of everyWay) {
        for (const length of LENGTHS) {
          let from = 1;
          while (runWithFault(onErase, errno[name], from, length)) from++;
          expect(from).toBeGreaterThan(60);
        }
      }
    },
  );
});
