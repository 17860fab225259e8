import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, inject, onTestFailed, onTestFinished } from "vitest";
import { type Dump, decodeRecord, findRecords, groupDumps } from "../../src/analysis/index.js";
import { type GuestResult, runGuest } from "../../vm/guest.js";
import { checkout } from "../../vm/paths.js";
import { joinDump } from "../support/join-dump.js";
import { LONG, until } from "../support/patience.js";

export { crashGuest, crashModule } from "./crash-guest.js";

export const program = join(checkout, "bin", "virtio-pstore");

/** A suite that needs real guests: skipped where they can't be had, which setup.ts explains. */
export const describeGuests: typeof describe.skip = describe.skipIf(
  inject("guestsUnavailable") !== "",
);

/** Of what is tested on each kernel, and takes long: one of them, or all with LONG=1. */
export const oneOrAll = <T>(cases: readonly T[], one: number): readonly T[] =>
  LONG ? cases : cases.slice(one, one + 1);

/** A guest's script: it panics. */
export const panic = "echo c > /proc/sysrq-trigger\n";

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-vm-"));
  onTestFinished(() => {
    // A daemon that is being killed may still note that its guest has gone.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  return folder;
}

/** Runs a guest with a device: `virtio-pstore run --directory … -- ARGV`. */
export function runWithDevice(
  directory: string,
  argv: readonly string[],
  ...options: readonly string[]
): Promise<GuestResult> {
  return runGuest([program, "run", "--directory", directory, ...options, "--", ...argv]);
}

/** The records' names in a directory, without the store's own files. */
export function recordNames(directory: string): string[] {
  return readdirSync(directory).filter((name) => !name.startsWith("."));
}

/** The dumps of one type in a directory, oldest first. */
export function dumpsOf(directory: string, type: "dmesg" | "ftrace"): Dump[] {
  const records = findRecords(directory).filter((record) => record.type === type);
  return groupDumps(records.map(decodeRecord));
}

/** The text of every dump of the log in a directory, oldest first. */
export function dumpTexts(directory: string): string[] {
  return dumpsOf(directory, "dmesg").map((dump) => joinDump(dump).toString("utf8"));
}

/** What each stream of a type holds. */
export function textOf(directory: string, type: "console" | "pmsg"): string[] {
  return recordNames(directory)
    .filter((name) => name.startsWith(`${type}-`))
    .map((name) => readFileSync(join(directory, name), "utf8"));
}

/** The numbers that a pattern finds, in the order in which they stand there. */
export const numbers = (text: string, pattern: RegExp): number[] =>
  [...text.matchAll(pattern)].map((match) => Number(match[1]));

/** The numbers of the lines that the module of `crash/` prints. */
export const crashLines = (text: string) => numbers(text, /crash-line (\d{8}) /g);

export const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);

/** A daemon of its own process, as an operator starts it. */
export interface Serving {
  /** The supervisor's process number, which is the program's. */
  readonly pid: number;
  /** Its daemon's. */
  daemon(): number;
  /** What it wrote to stderr so far. */
  log(): string;
  /** SIGTERM, and its exit status. */
  stop(): Promise<number | null>;
}

/** Starts `virtio-pstore serve` and waits until it serves; it is gone when the test is over. */
export async function serve(...args: readonly string[]): Promise<Serving> {
  const child = spawn(program, ["serve", ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("is served")) resolve();
    });
    void ended.then(() => {
      reject(new Error(`serve ended: ${log}`));
    });
  });
  return {
    pid: child.pid ?? -1,
    daemon: () => {
      const path = `/proc/${child.pid}/task/${child.pid}/children`;
      const [first = ""] = readFileSync(path, "latin1").trim().split(" ");
      if (first === "") throw new Error(`no daemon runs: ${log}`);
      return Number(first);
    },
    log: () => log,
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** What each of a process's threads does, as ps(1) names it, and where in the kernel: for a test that waited in vain. */
export function threadsOf(pid: number): string {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
      const read = (name: string) => readFileSync(`/proc/${pid}/task/${thread}/${name}`, "latin1");
      return `${/\) (\w)/.exec(read("stat"))?.[1]} ${read("wchan")}`;
    });
    return `process ${pid}: ${threads.join(", ")}`;
  } catch (error) {
    return `process ${pid}: ${String(error)}`;
  }
}

/** A guest's process, for tests that act while it runs. */
export interface RunningGuest {
  readonly pid: number;
  /** What it printed so far. */
  output(): string;
  /** Resolves when the guest has printed `text`. */
  printed(text: string): Promise<void>;
  /** Ends its script's `read _`. */
  goOn(): void;
  readonly ended: Promise<{ status: number | null; output: string }>;
}

/** Starts a guest; it is gone when the test is over. */
export function startGuest([command = "", ...args]: readonly string[]): RunningGuest {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const ended = new Promise<{ status: number | null; output: string }>((resolve) => {
    child.on("close", (status) => {
      resolve({ status, output });
    });
  });
  // QEMU's own last words say why a connection to it is gone.
  onTestFailed(() => {
    const { exitCode, signalCode } = child;
    process.stderr.write(`${command} (${exitCode ?? signalCode ?? "runs"}) printed:\n${output}\n`);
  });
  return {
    pid: child.pid ?? -1,
    output: () => output,
    printed: (text) =>
      until(
        () => output.includes(text),
        () => `the guest never printed ${text}:\n${output}`,
      ),
    goOn: () => {
      child.stdin.write("\n");
    },
    ended,
  };
}

/** What QEMU needs for a back-end that already serves at `socket`. */
export function qemuDevice(
  socket: string,
  memoryMiB = 256,
  queues = 3,
  chardev = "pstore",
  configBytes = 32,
): string[] {
  return [
    ...["-object", `memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`],
    ...["-machine", "memory-backend=mem"],
    ...["-chardev", `socket,id=${chardev},path=${socket}`],
    "-device",
    `vhost-user-test-device-pci,virtio-id=22,num_vqs=${queues},vq_size=128,config_size=${configBytes},chardev=${chardev}`,
  ];
}
