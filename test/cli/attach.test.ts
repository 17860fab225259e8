import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/patience.js";

const program = join(import.meta.dirname, "../../bin/virtio-pstore");

/** A process with memory as a VMM has it, without a Linux in it. It counts SIGCONT, and ends with 7 at the end of its input. */
const VMM = `
import mmap, signal, sys
ram = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
ram[0:5] = b"empty"
signal.signal(signal.SIGCONT, lambda *_: print("goes on", flush=True))
print("mapped", flush=True)
while sys.stdin.read(1): pass
sys.exit(7)
`;

function run(command: string, args: readonly string[]) {
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
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  return {
    child,
    pid: child.pid ?? -1,
    ended,
    output: () => output,
    prints: (text: string) =>
      until(
        () => output.includes(text),
        () => output,
      ),
  };
}

function attach(...args: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), "virtio-pstore-attach-"));
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return run(program, ["attach", "--directory", directory, ...args]);
}

async function vmm() {
  const process = run("python3", ["-c", VMM]);
  await process.prints("mapped");
  return process;
}

/** The process that traces it, as /proc tells; 0 where none does. */
const tracerOf = (pid: number): number =>
  Number(/^TracerPid:\t([0-9]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);

const isTraced = (pid: number): Promise<void> =>
  until(
    () => tracerOf(pid) > 0,
    () => "nobody traces it",
  );

/** It has opened the VMM's memory. */
const isWatching = (pid: number): Promise<void> =>
  until(
    () => readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(pid, fd).endsWith("/pagemap")),
    () => "it opened no memory",
  );

function linkOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return "";
  }
}

test("a VMM that is held at its exit ends as it would, and signals reach it before", async () => {
  const held = await vmm();
  const attached = attach("--pid", `${held.pid}`, "--hold", "--poll", "60000");
  await isTraced(held.pid);
  await isWatching(attached.pid);
  process.kill(held.pid, "SIGSTOP");
  process.kill(held.pid, "SIGCONT");
  await held.prints("goes on");
  held.child.stdin.end();
  expect(await held.ended).toBe(7);
  expect([await attached.ended, attached.output()]).toEqual([
    0,
    "virtio-pstore: no Linux is in it yet: looking on\n",
  ]);
});

test("a VMM goes on when who holds it is killed, and so does who watches it", async () => {
  const held = await vmm();
  const attached = attach("--pid", `${held.pid}`, "--hold");
  await isTraced(held.pid);
  await isWatching(attached.pid);
  process.kill(tracerOf(held.pid), "SIGKILL");
  await until(
    () => tracerOf(held.pid) === 0,
    () => `${tracerOf(held.pid)} traces it`,
  );
  attached.child.kill("SIGTERM");
  expect(await attached.ended).toBe(0);
  const again = attach("--pid", `${held.pid}`, "--hold");
  await isTraced(held.pid);
  again.child.kill("SIGKILL");
  await again.ended;
  await until(
    () => tracerOf(held.pid) === 0,
    () => `${tracerOf(held.pid)} traces it`,
  );
  held.child.stdin.end();
  expect(await held.ended).toBe(7);
});

test("a VMM that somebody else traces can't be held, which is said in a line", async () => {
  const held = await vmm();
  const first = attach("--pid", `${held.pid}`, "--hold");
  await isTraced(held.pid);
  const second = attach("--pid", `${held.pid}`, "--hold");
  expect(await second.ended).toBe(1);
  expect(second.output()).toMatch(
    /^virtio-pstore: pid [0-9]+ can't be held at its exit \(.*not permitted\): be root, .*\n$/,
  );
  first.child.kill("SIGTERM");
  expect(await first.ended).toBe(0);
});

test("a process without a guest's memory is said to be none", async () => {
  const { pid } = run("sleep", ["1000"]);
  const { ended, output } = attach("--pid", `${pid}`);
  expect(await ended).toBe(1);
  expect(output()).toMatch(
    /^virtio-pstore: pid [0-9]+: process [0-9]+ has no memory that could be a guest's.*\n$/,
  );
});

test.each([
  [["--pid", `${2 ** 22 + 1}`], 1, /^virtio-pstore: pid 4194305: there is no process 4194305\n$/],
  [["--memory", "/dev/null"], 1, /^virtio-pstore: \/dev\/null: .*\n$/],
  [
    [],
    2,
    /^virtio-pstore: name either a VMM's process with --pid, or a memory file with --memory\n/,
  ],
  [
    ["--memory", "m", "--hold"],
    2,
    /^virtio-pstore: --hold is for a VMM's process, named with --pid\n/,
  ],
  [["--pid", "1", "--poll", "0"], 2, /^virtio-pstore: .*whole number from 1 to 60000/],
  [["--pid", "1", "--hang-after", "1"], 2, /^virtio-pstore: .*whole number from 4 to 3600/],
])("attach %j ends with %i and a line", async (args, status, line) => {
  const { ended, output } = attach(...args);
  expect(await ended).toBe(status);
  expect(output()).toMatch(line);
});
