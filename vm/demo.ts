import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { qemuGuest, runGuest, umlGuest } from "./guest.js";
import { kernelNames } from "./kernel.js";
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

const targets = ["uml", ...kernelNames] as const;
type Target = (typeof targets)[number];

async function guest(target: Target, script: string): Promise<{ argv: string[]; shown: string }> {
  if (target === "uml") {
    await prepare(["uml"]);
    return { argv: await umlGuest({ script }), shown: "linux.uml mem=128M initrd=…" };
  }
  await prepare(["qemu", target]);
  return {
    argv: await qemuGuest({ kernel: target, script, append: "loglevel=0" }),
    shown: "qemu-system-x86_64 -m 256M -kernel … -initrd …",
  };
}

/** Keeps the guest's initrd under a name of its own, for the README's examples. */
function keepInitrd(target: Target, argv: readonly string[]): void {
  const named = argv.find((word) => word.startsWith("initrd="))?.slice("initrd=".length);
  copyFileSync(named ?? argv[argv.indexOf("-initrd") + 1] ?? "", inVm("demo", `initrd-${target}`));
}

async function demo(target: Target): Promise<void> {
  const token = `virtio-pstore-demo-${randomBytes(8).toString("hex")}`;
  const { argv, shown } = await guest(
    target,
    `echo ${token} > /dev/kmsg\necho c > /proc/sysrq-trigger\n`,
  );
  rmSync(crashes, { recursive: true, force: true });
  mkdirSync(inVm("demo"), { recursive: true });
  keepInitrd(target, argv);
  const directory = relative(checkout, crashes);
  say(`A guest writes ${token} to its /dev/kmsg, and panics:`);
  say(`\n$ virtio-pstore run --directory ${directory} -- ${shown}`);
  const result = await withProgress("Waiting for the guest to boot and panic", () =>
    runGuest([program, "run", "--directory", directory, "--", ...argv], {
      cwd: checkout,
    }),
  );
  // The guest's own console has little to say; it isn't what this is about.
  process.stdout.write(result.output.replace(/^(?!virtio-pstore:)[^\n]*\n/gm, ""));
  if (result.ended !== null) {
    throw new Error(`the guest had to be ended:\n${lastLines(result.output)}`);
  }

  process.stdout.write(command("list", directory));
  const text = command("show", directory);
  const lines = text.trimEnd().split("\n");
  const first = lines.findIndex((line) => line.includes(token));
  if (first < 0) throw new Error(`${token} is not in what the host recorded`);
  say(`… ${first} lines …`);
  say(lines.slice(first).join("\n"));
  say(
    `\nThe token is in what the host recorded: ${directory} holds the dump that the driver sent.`,
  );
}

const usage = `usage: npm run demo [-- ${targets.join("|")}]`;

async function main(wanted = "6.1", ...more: readonly string[]): Promise<number> {
  if (wanted === "--help" || wanted === "-h") {
    say(
      `${usage}\n\nTakes a minute the first time, when it gets QEMU and a kernel, and some seconds later.`,
    );
    return 0;
  }
  if (more.length > 0) {
    console.error(`one guest at a time\n${usage}`);
    return 2;
  }
  const target = targets.find((name) => name === wanted);
  if (target === undefined) {
    console.error(`no guest is called ${wanted}\n${usage}`);
    return 2;
  }
  try {
    await demo(target);
    return 0;
  } catch (error) {
    console.error(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

process.exitCode = await main(...process.argv.slice(2));
