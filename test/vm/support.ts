import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, inject, onTestFinished } from "vitest";
import { decodeRecord, findRecords, groupDumps, joinDump } from "../../src/report/index.js";
import { buildDriver } from "../../vm/build.js";
import { type GuestResult, runGuest } from "../../vm/guest.js";
import type { KernelName } from "../../vm/kernel.js";
import { checkout } from "../../vm/paths.js";

export const program = join(checkout, "bin", "virtio-pstore");

/** A suite that needs real guests: skipped where they can't be had, which setup.ts explains. */
export const describeGuests: typeof describe.skip = describe.skipIf(
  inject("guestsUnavailable") !== "",
);

/** A guest's script: it panics. */
export const panic = "echo c > /proc/sysrq-trigger\n";

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-vm-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
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

/** The text of every dump in a directory, oldest first. */
export function dumpTexts(directory: string): string[] {
  const records = findRecords(directory).filter(({ type }) => type === "dmesg");
  return groupDumps(records.map(decodeRecord)).map((dump) => joinDump(dump).toString("utf8"));
}

/** A daemon of its own process, as an operator starts it. */
export interface Serving {
  readonly pid: number;
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
    log: () => log,
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** What QEMU needs for a back-end that already serves at `socket`. */
export function qemuDevice(socket: string, memoryMiB = 256): string[] {
  return [
    ...["-object", `memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`],
    ...["-machine", "memory-backend=mem"],
    ...["-chardev", `socket,id=pstore,path=${socket}`],
    "-device",
    "vhost-user-test-device-pci,virtio-id=22,num_vqs=3,vq_size=128,config_size=32,chardev=pstore",
  ];
}

/** The path of the module that crashes as it is asked to. */
export async function crashModule(target: KernelName | "uml"): Promise<string> {
  const { path } = await buildDriver(target, {
    directory: join(checkout, "test", "vm", "crash"),
    module: "crash",
  });
  return path;
}
