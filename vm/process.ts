import { type ChildProcess, spawn } from "node:child_process";
import { killTree } from "./process-tree.js";

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** An hour by default: it ends what hangs, and says nothing of how long anything takes. */
  readonly timeoutMs?: number;
  /** A wedged guest can write gigabytes; it is ended when it passes this. */
  readonly maxOutputBytes?: number;
  /** Gets the output as it comes, before the cap is applied. */
  readonly onOutput?: (chunk: Buffer) => void;
}

export interface RunResult {
  /** null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** stdout and stderr as they came, at most `maxOutputBytes`. */
  readonly output: string;
  /** Why the process was ended from here, or null when it ended by itself. */
  readonly ended: "timeout" | "output" | null;
  readonly elapsedMs: number;
}

const alive = new Set<ChildProcess>();
process.once("exit", () => {
  for (const { pid } of alive) {
    if (pid !== undefined) killTree(pid);
  }
});

/** Runs a program to its end. Rejects only when it can't be started; looking at the status is the caller's part. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const { timeoutMs = 3_600_000, maxOutputBytes = 16 << 20, onOutput } = options;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    alive.add(child);
    const chunks: Buffer[] = [];
    let size = 0;
    let ended: RunResult["ended"] = null;

    const end = (why: "timeout" | "output"): void => {
      if (ended !== null) return;
      ended = why;
      if (child.pid !== undefined) killTree(child.pid);
      // A process that got away may keep the pipes open for ever: don't wait for it.
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const timer = setTimeout(() => end("timeout"), timeoutMs);
    const take = (chunk: Buffer): void => {
      onOutput?.(chunk);
      const room = maxOutputBytes - size;
      if (room > 0) chunks.push(chunk.subarray(0, room));
      size += chunk.length;
      if (size > maxOutputBytes) end("output");
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (error) => {
      clearTimeout(timer);
      alive.delete(child);
      reject(error);
    });
    child.once("close", (status, signal) => {
      clearTimeout(timer);
      alive.delete(child);
      const output = Buffer.concat(chunks).toString("utf8");
      resolve({ status, signal, output, ended, elapsedMs: performance.now() - started });
    });
  });
}

/** The end of a program's output: enough to see what went wrong, short enough for a message. */
export function lastLines(output: string, count = 12): string {
  return output.trimEnd().split("\n").slice(-count).join("\n");
}

/** Like `run`, for a program that must succeed. Gives its output. */
export async function runChecked(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.status === 0 && result.ended === null) return result.output;
  const how =
    result.ended === "timeout"
      ? "took too long"
      : result.ended === "output"
        ? "wrote too much"
        : `ended with ${result.signal ?? `status ${result.status}`}`;
  throw new Error(`${command} ${args[0] ?? ""} ${how}:\n${lastLines(result.output)}`);
}
