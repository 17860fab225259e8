import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam } from "../support/guest-ram.js";
import { until } from "../support/patience.js";
import {
  type PstoreDriver,
  type PstoreDriverOptions,
  startPstoreDriver,
} from "../support/pstore-driver.js";

/** The program as users call it; it runs what `npm run build` made. */
export const program = fileURLToPath(new URL("../../bin/virtio-pstore", import.meta.url));

/** Whether this user may mount file systems, which root in a container may not. */
export const mayMount = spawnSync("unshare", ["-m", "true"]).status === 0;

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-cli-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface Ended {
  /** 128 and the signal's number where one ended it. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running program. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  /** Waits until stderr or stdout matches; throws where the program ends before that. */
  says(pattern: RegExp): Promise<void>;
}

export interface StartOptions {
  /** Descriptors that the program gets from 3 on. */
  readonly descriptors?: readonly number[];
  /** Beside ours; undefined takes one of ours away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly command?: string;
  /** Where root runs the tests: root may read everything. */
  readonly asNobody?: boolean;
}

/** Starts the program; it is gone when the test is over. */
export function start(args: readonly string[], options: StartOptions = {}): Running {
  const child = spawn(options.command ?? program, args, {
    stdio: ["ignore", "pipe", "pipe", ...(options.descriptors ?? [])],
    env: { ...process.env, ...options.env },
    ...(options.asNobody === true && process.geteuid?.() === 0 ? { uid: 65534 } : {}),
  });
  let stdout = "";
  let stderr = "";
  let over = false;
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      over = true;
      resolve({ status: status ?? signal ?? "", stdout, stderr });
    });
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    // Its daemon, too, has ended when nobody has its output any more, and writes nothing into folders that go next.
    await Promise.race([ended.catch(() => undefined), sleep(5000, undefined, { ref: false })]);
  });
  return {
    child,
    ended,
    stdout: () => stdout,
    stderr: () => stderr,
    says: async (pattern) => {
      const isSaid = () => pattern.test(stderr) || pattern.test(stdout);
      const what = () => `${pattern} was never said, but: ${stderr}${stdout}`;
      await until(() => over || isSaid(), what);
      if (!isSaid()) throw new Error(what());
    },
  };
}

/** Runs the program to its end. */
export function run(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return start(args, options).ended;
}

/** `serve`, once it serves. */
export async function serve(args: readonly string[], options?: StartOptions): Promise<Running> {
  const running = start(["serve", ...args], options);
  await running.says(/is served|"kind":"ready"/);
  return running;
}

/** SIGTERM, and how it ended. */
export async function stop(running: Running, signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
  running.child.kill(signal);
  return running.ended;
}

/** A signal, and another where it came so soon behind one before, for a busy process, that they count as one. */
export async function signalUntilEnded(running: Running, signal: NodeJS.Signals): Promise<Ended> {
  const again = setInterval(() => running.child.kill(signal), 1000);
  const ended = await stop(running, signal);
  clearInterval(again);
  return ended;
}

/** A guest's driver on a connection to the program. */
export interface Guest {
  readonly frontEnd: FakeFrontEnd;
  readonly driver: PstoreDriver;
  close(): void;
}

export async function startGuest(
  frontEnd: FakeFrontEnd,
  options?: PstoreDriverOptions,
): Promise<Guest> {
  const ram = new GuestRam();
  const driver = await startPstoreDriver(frontEnd, ram, options);
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    frontEnd.close();
    driver.readQueue.close();
    driver.writeQueue.close();
    ram.close();
  };
  onTestFinished(close);
  return { frontEnd, driver, close };
}

export const connect = (path: string, options?: PstoreDriverOptions): Promise<Guest> =>
  startGuest(FakeFrontEnd.connect(path), options);

/** An executable shell script. */
export function script(path: string, ...lines: readonly string[]): string {
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"));
  chmodSync(path, 0o755);
  return path;
}

/** What a program that failed said, without the hint at --help. */
export function complaint({ stderr }: Ended): string[] {
  return stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Try `"));
}

/** A disk that from stick() on never answers the back-end's thread. */
export function stuckDisk(folder: string): {
  readonly env: Readonly<Record<string, string>>;
  stick(): void;
} {
  const flag = join(folder, "stuck");
  const preload = join(folder, "stuck-disk.cjs");
  writeFileSync(
    preload,
    `const fs = require("node:fs");
    const { syncBuiltinESMExports } = require("node:module");
    const { isMainThread } = require("node:worker_threads");
    for (const name of isMainThread ? [] : ["fsyncSync", "fdatasyncSync", "closeSync"]) {
      const real = fs[name];
      fs[name] = (...args) => {
        if (fs.existsSync(${JSON.stringify(flag)})) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        }
        return real(...args);
      };
    }
    syncBuiltinESMExports();`,
  );
  return {
    env: { NODE_OPTIONS: `--require ${preload}` },
    stick: () => {
      writeFileSync(flag, "");
    },
  };
}

/** A record's file, or another's, written at so many seconds since 1970. */
export function put(path: string, contents: string | Uint8Array, seconds: number): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, contents);
  utimesSync(path, seconds, seconds);
  return path;
}

/** The process numbers of what a running program started itself, the first one first. */
export function childrenOf({ child }: Running): number[] {
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
  return children.trim().split(" ").filter(Boolean).map(Number);
}

/** The process number of a running program's daemon; undefined between two. */
export const daemonOf = (running: Running): number | undefined => childrenOf(running).at(-1);
