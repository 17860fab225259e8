// `npm run bench:memory`: what it takes to look into a guest's memory, and to write it as a core, beside QEMU's own
// dumps, cp and makedumpfile.
import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { type KernelName, kernel } from "../vm/kernel.js";
import { makedumpfile, makedumpfilePart } from "../vm/makedumpfile.js";
import { ensure } from "../vm/part.js";
import { checkout } from "../vm/paths.js";
import { StillGuest } from "./memory-guest.js";
import { type Core, type Looked, report } from "./memory-report.js";

const KERNEL: KernelName = "6.1";
const ROUNDS = 3;

const program = join(checkout, "bin", "virtio-pstore");

const LOOKS: readonly (readonly string[])[] = [
  ...[["log"], ["tasks"], ["stacks"], ["trace"]],
  ["log", "tasks", "stacks", "locks"],
];

interface Times {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Runs a command to its end. `cpuSeconds` is of the command and its children, by bash. */
function timed(argv: readonly string[]): Times {
  const { status, stderr } = spawnSync(
    "bash",
    ["-c", 'TIMEFORMAT="%R %U %S"; time "$@" > /dev/null', "bash", ...argv],
    { encoding: "latin1", maxBuffer: 1 << 26 },
  );
  const [seconds, user, system] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
  if (status !== 0 || seconds === undefined || user === undefined || system === undefined)
    throw new Error(`${argv.join(" ")} ended with ${status}: ${stderr}`);
  return { seconds, cpuSeconds: user + system };
}

/** Drops a file that nobody has mapped from the host's page cache. */
function forget(path: string): void {
  onDisk(path);
  const { status, stderr } = spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0"]);
  if (status !== 0) throw new Error(stderr.toString());
}

/** Seconds until all of a file is on the disk. */
function onDisk(path: string): number {
  const began = performance.now();
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
  return (performance.now() - began) / 1000;
}

const inspect = (...args: readonly string[]): string[] => [program, "inspect", ...args];

/** The log in a memory or core, as our reader shows it. */
function logOf(path: string): string {
  const [command = "", ...args] = inspect(path, "log");
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`no log in ${path}: ${stderr}`);
  return stdout;
}

/** A way to write the memory, or a part of it, to a new file. */
interface Way {
  readonly name: string;
  readonly write: (path: string) => Times | Promise<Times>;
  /** Zeros and all: it writes as many bytes as the guest has memory. */
  readonly whole?: true;
  /** Nothing that has a log in it. */
  readonly plain?: true;
}

/** `disk`: as many bytes as our ELF core has, written one after the other. */
function writePlain(path: string, bytes: number): Times {
  const piece = Buffer.alloc(1 << 20, "some bytes, which no file system takes for a hole. ");
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const fd = openSync(path, "wx");
  for (let done = 0; done < bytes; done += piece.length) {
    writeSync(fd, piece, 0, Math.min(piece.length, bytes - done));
  }
  fsyncSync(fd);
  closeSync(fd);
  const { user, system } = process.cpuUsage(cpuBefore);
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6 };
}

function waysOf(guest: StillGuest, elf: string): Way[] {
  const { memory } = guest;
  const ours = (name: string, ...args: readonly string[]): Way => ({
    name,
    write: (path) => timed(inspect(memory, "vmcore", "-o", path, ...args)),
  });
  const qemu = (format: string): Way => ({
    name: `QEMU, ${format}`,
    write: (path) => guest.dump(path, format),
    ...(format === "elf" ? { whole: true as const } : {}),
  });
  const filter = ["--filter", "free,cache,user"];
  return [
    ours("ours, elf"),
    ours("ours, kdump-zlib", "--format", "kdump-zlib"),
    ours("ours, elf, filtered", ...filter),
    ours("ours, kdump-zlib, filtered", "--format", "kdump-zlib", ...filter),
    {
      name: "disk",
      plain: true,
      write: (path) => writePlain(path, statSync(elf).blocks * 512),
    },
    {
      name: "cp --sparse=always",
      write: (path) => timed(["cp", "--sparse=always", memory, path]),
    },
    {
      name: "makedumpfile -d 31",
      write: (path) => timed(makedumpfile("-d", "31", elf, path)),
    },
    {
      name: "makedumpfile -c -d 31",
      write: (path) => timed(makedumpfile("-c", "-d", "31", elf, path)),
    },
    ...["elf", "kdump-zlib", "kdump-raw-zlib"].map(qemu),
  ];
}

async function measure(memoryMiB: number, { rounds, quick }: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-bench-"));
  tell(`${memoryMiB} MiB: a guest boots`);
  const guest = await StillGuest.boot(KERNEL, folder, memoryMiB);
  let isRunning = true;
  try {
    const { memory } = guest;
    const looks: Looked[] = [];
    const look = (state: Looked["state"]) => {
      for (const views of LOOKS) {
        if (state === "cold") forget(memory);
        tell(`${memoryMiB} MiB: ${views.join(" ")}, ${state}`);
        const output = views[0] === "trace" ? ["-o", join(folder, "trace.dat")] : [];
        looks.push({
          views: views.join(", "),
          state,
          ...timed(inspect(memory, ...views, ...output)),
        });
        rmSync(join(folder, "trace.dat"), { force: true });
      }
    };
    const cores: Core[] = [];
    const log = logOf(memory);
    // makedumpfile reads this one.
    const elf = join(folder, "elf");
    timed(inspect(memory, "vmcore", "-o", elf));
    for (let round = 0; round < rounds; round++) {
      look("warm");
      for (const way of waysOf(guest, elf)) {
        if (way.whole && quick && round > 0) continue;
        tell(`${memoryMiB} MiB: ${way.name}`);
        const path = join(folder, "core");
        const before = { resident: guest.residentBytes(), allocated: guest.allocatedBytes() };
        const times = await way.write(path);
        const { size, blocks } = statSync(path);
        cores.push({
          ...{ way: way.name, ...times, durableSeconds: times.seconds + onDisk(path) },
          ...{ bytes: size, allocatedBytes: blocks * 512 },
          grownBytes: guest.residentBytes() - before.resident,
          grownFileBytes: guest.allocatedBytes() - before.allocated,
        });
        if (round === 0 && way.plain !== true && logOf(path) !== log)
          throw new Error(`${way.name}: the log in the core isn't the guest's`);
        rmSync(path);
      }
    }
    await guest.end();
    isRunning = false;
    for (let round = 0; round < rounds; round++) look("cold");
    process.stdout.write(
      `\n${report({ memoryMiB, kernel: kernel(KERNEL).release, looks, cores })}`,
    );
  } finally {
    if (isRunning) await guest.end();
    rmSync(folder, { recursive: true });
  }
}

const began = performance.now();

function tell(what: string): void {
  process.stderr.write(`${Math.round((performance.now() - began) / 1000)} s: ${what}\n`);
}

interface Options {
  readonly rounds: number;
  readonly quick?: true;
  readonly memory: readonly number[];
}

async function main(options: Options): Promise<void> {
  await ensure(makedumpfilePart);
  for (const memoryMiB of options.memory) await measure(memoryMiB, options);
}

function positive(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError("It is a number from 1 on.");
  return Number(text);
}

await new Command("npm run bench:memory --")
  .description(
    "Boots guests, and measures how long inspect takes to look into their memory and to write it as a core, beside\n" +
      "QEMU's dumps, cp and makedumpfile. Takes about 6 minutes; nothing else should run meanwhile.",
  )
  .option("--rounds <n>", "times that each is measured", positive, ROUNDS)
  .option("--quick", "QEMU's ELF, which is the slowest, only once")
  .option(
    "--memory <MiB...>",
    "the guests' memory",
    (text: string, before: readonly number[] | undefined) => [...(before ?? []), positive(text)],
  )
  .action((options: Partial<Options> & { readonly rounds: number }) =>
    main({ ...options, memory: options.memory ?? [512, 4096] }),
  )
  .parseAsync();
