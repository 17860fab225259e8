import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { qemuGuest, runGuest } from "./guest.js";
import { checkout, inVm } from "./paths.js";
import { prepare } from "./prepare.js";
import { lastLines } from "./process.js";
import { withProgress } from "./progress.js";

// `npm run demo`: a stock Debian kernel panics inside QEMU, and its last words are read on the host.

const program = join(checkout, "bin", "virtio-pstore");
const crashes = inVm("demo", "crashes");

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Shows a command as it would be typed, and what it prints. */
function command(...args: readonly string[]): string {
  say(`\n$ virtio-pstore ${args.join(" ")}`);
  const { stdout, stderr, status } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 64 << 20,
    cwd: checkout,
  });
  if (status !== 0) throw new Error(`virtio-pstore ${args[0]} ended with ${status}:\n${stderr}`);
  return stdout;
}

async function demo(): Promise<void> {
  await prepare(["qemu", "6.1"]);
  rmSync(crashes, { recursive: true, force: true });
  mkdirSync(inVm("demo"), { recursive: true });

  const token = `virtio-pstore-demo-${randomBytes(8).toString("hex")}`;
  const script = `echo ${token} > /dev/kmsg\necho c > /proc/sysrq-trigger\n`;
  const guest = await qemuGuest({ kernel: "6.1", script, append: "loglevel=0" });
  const directory = relative(checkout, crashes);
  say(`A guest writes ${token} to its /dev/kmsg, and panics:`);
  say(
    `\n$ virtio-pstore run --directory ${directory} -- qemu-system-x86_64 -m 256M -kernel … -initrd …`,
  );
  const result = await withProgress("Waiting for the guest to boot and panic", () =>
    runGuest([program, "run", "--directory", crashes, "--", ...guest], { timeoutMs: 120_000 }),
  );
  process.stdout.write(
    result.output.replaceAll(`${checkout}/`, "").replace(/^[^\n]*\[\s*\d+\.\d+\][^\n]*\n/gm, ""),
  );
  if (result.ended !== null)
    throw new Error(`the guest had to be ended:\n${lastLines(result.output)}`);

  process.stdout.write(command("list", directory));
  const text = command("show", directory);
  const lines = text.trimEnd().split("\n");
  const first = lines.findIndex((line) => line.includes(token));
  if (first < 0) throw new Error(`${token} is not in what the host recorded`);
  say(`… ${first} lines …`);
  say(lines.slice(first).join("\n"));
  say(`\nThe token is in what the host recorded: ${directory} holds the guest's whole log.`);
}

try {
  await demo();
} catch (error) {
  console.error(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
