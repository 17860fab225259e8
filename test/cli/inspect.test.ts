import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/patience.js";
import { type TinyOptions, tinyKernel } from "../support/tiny-kernel.js";
import { complaint, type Running, run, start, temporaryFolder } from "./support.js";

/** A guest's memory as a file. */
function memoryFile(options: TinyOptions = {}): string {
  const path = join(temporaryFolder(), "memory");
  writeFileSync(path, tinyKernel(options).bytes);
  return path;
}

/** Puts another state of the memory into the file, as a running guest does. */
function overwrite(path: string, bytes: Buffer, at = 0): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

test("inspect log prints the log as dmesg -r does", async () => {
  const { status, stdout, stderr } = await run(["inspect", memoryFile(), "log"]);
  expect(stderr).toBe("");
  expect(stdout).toBe(
    "<6>[    0.000000] Linux version tiny\n<6>[    1.500000] second\n<6>[    1.500000] of two lines\n<6>[    3.000000] \n",
  );
  expect(status).toBe(0);
});

test("a log that ends in a crash is titled on stderr; what the guest wrote is made printable", async () => {
  const memory = memoryFile({
    messages: ["Linux version tiny", "\u001b[31mred", "Kernel panic - not syncing: tiny"],
  });
  const { status, stdout, stderr } = await run(["inspect", memory, "log"]);
  expect(stdout).toContain("] \\x1b[31mred\n");
  expect(stderr).toContain("virtio-pstore: the log ends in a crash: kernel panic: tiny\n");
  expect(status).toBe(0);
});

test("inspect log --json", async () => {
  const memory = memoryFile({ messages: ["Linux version tiny", "Kernel panic - not syncing: x"] });
  const { status, stdout, stderr } = await run(["inspect", memory, "log", "--json"]);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    source: memory,
    log: {
      title: "kernel panic: x",
      messages: [
        { seq: "0", priority: 6, nanoseconds: "0", text: "Linux version tiny" },
        { seq: "1", priority: 6, nanoseconds: "1500000000", text: "Kernel panic - not syncing: x" },
      ],
    },
    notes: ["the log ends in a crash: kernel panic: x"],
  });
  expect(status).toBe(0);
});

test("messages that were overwritten before anybody looked leave the newest", async () => {
  const messages = Array.from({ length: 12 }, (_, i) => `message ${i}`);
  const { stdout } = await run(["inspect", memoryFile({ messages }), "log"]);
  expect(stdout.trimEnd().split("\n").at(-1)).toBe("<6>[   16.500000] message 11");
  expect(stdout).not.toContain("message 3\n");
});

test("the log of a kernel that doesn't describe itself is found, and marked; other views aren't there", async () => {
  const memory = memoryFile({ undescribed: true });
  const { status, stdout, stderr } = await run(["inspect", memory, "log"]);
  expect(stderr).toBe(
    "virtio-pstore: the kernel doesn't describe itself (VMCOREINFO), or not yet: its log was found by how printk keeps it\n",
  );
  expect(stdout).toBe((await run(["inspect", memoryFile(), "log"])).stdout);
  expect(status).toBe(0);
  const trace = await run(["inspect", memory, "trace"]);
  expect(complaint(trace)).toEqual([expect.stringMatching(NO_LINUX)]);
  expect(trace.status).toBe(1);
});

const NO_LINUX = /^virtio-pstore: .*memory: there is no Linux in it/;

test.each<[string, (path: string) => unknown, RegExp]>([
  ["random bytes", (path) => writeFileSync(path, randomBytes(1 << 16)), NO_LINUX],
  ["zeros", (path) => writeFileSync(path, Buffer.alloc(1 << 16)), NO_LINUX],
  [
    "a page that claims to be VMCOREINFO",
    (path) => {
      const page = Buffer.alloc(4096);
      page.write("OSRELEASE=6.1.0\nSYMBOL(init_uts_ns)=ffffffff81000000\nNUMBER(phys_base)=0\n");
      writeFileSync(path, page);
    },
    NO_LINUX,
  ],
  [
    "a text",
    (path) => writeFileSync(path, "hello\n"),
    /memory: a guest's memory is whole pages, and this has 6 bytes: name a memory file or a core$/,
  ],
  ["an empty file", (path) => writeFileSync(path, ""), /whole pages, and this has 0 bytes/],
  [
    "a directory",
    (path) => mkdirSync(path),
    /memory: it is no file: name a memory file or a core$/,
  ],
  ["nothing", () => undefined, /memory: no such file or directory$/],
  [
    "a core that was cut short",
    (path) => writeFileSync(path, Buffer.concat([Buffer.from("\x7fELF"), Buffer.alloc(8188)])),
    /^virtio-pstore: .*memory: /,
  ],
])("%s is no source: one line, status 1", async (_, make, message) => {
  const memory = join(temporaryFolder(), "memory");
  make(memory);
  const ended = await run(["inspect", memory, "log"]);
  expect(complaint(ended)).toEqual([expect.stringMatching(message)]);
  expect(ended.stdout).toBe("");
  expect(ended.status).toBe(1);
});

test("a file that one may not read: one line, what to do, status 1", async () => {
  const path = memoryFile();
  chmodSync(join(path, ".."), 0o755);
  chmodSync(path, 0o000);
  const ended = await run(["inspect", path, "log"], { asNobody: true });
  expect(complaint(ended)).toEqual([
    expect.stringMatching(
      /it can't be read \(permission denied\): be the user who owns it, or root$/,
    ),
  ]);
  expect(ended.status).toBe(1);
});

test("a pid that isn't there, and a process without a guest's memory: one line, status 1", async () => {
  const gone = start(["--version"]);
  await gone.ended;
  const none = await run(["inspect", "--pid", String(gone.child.pid), "log"]);
  expect(complaint(none)).toEqual([
    `virtio-pstore: pid ${gone.child.pid}: there is no process ${gone.child.pid}, or no more`,
  ]);
  expect(none.status).toBe(1);
  const sleeping = start(["1000"], { command: "sleep" });
  const without = await run(["inspect", "--pid", String(sleeping.child.pid), "log"]);
  expect(complaint(without)).toEqual([
    `virtio-pstore: pid ${sleeping.child.pid}: process ${sleeping.child.pid} has no memory that could be a guest's: name the VMM's own process`,
  ]);
  expect(without.status).toBe(1);
});

test.each<[readonly string[], RegExp]>([
  [
    ["inspect"],
    /: name a guest's memory file or a core, a VMM's process with --pid, or a daemon with --control$/,
  ],
  [["inspect", "MEMORY", "log", "--guest", "web"], /: --guest is for --control$/],
  [["inspect", "--control", "d", "--pid", "1", "log"], /: name either --pid or --control$/],
  [
    ["inspect", "--control", "d", "--layout", "pc", "log"],
    /: --layout isn't for --control: the VMM says where its memory is$/,
  ],
  [["inspect", "MEMORY", "trace", "vmcore", "-o", "core"], /: --output is for one view at a time$/],
  [
    ["inspect", "MEMORY", "vmcore", "-o", "new", "--pause", "a", "--qmp", "b"],
    /: --pause takes the registers, too: leave --qmp out$/,
  ],
  [["inspect", "MEMORY", "nonsense"], /: there is no view "nonsense": report, log, /],
  [
    ["inspect", "MEMORY", "log", "--follow", "--json"],
    /: --follow is for one view, without --json$/,
  ],
  [
    ["inspect", "MEMORY", "log", "trace", "--follow"],
    /: --follow is for one view, without --json$/,
  ],
  [["inspect", "MEMORY", "trace", "--follow"], /: --follow is for log$/],
  [["inspect", "--pid", "x", "log"], /argument 'x' is invalid. It must be a process's number.$/],
  [["inspect", "--pid", "0", "log"], /argument '0' is invalid. It must be a process's number.$/],
])("%j is a wrong command line: one line, status 2", async (args, message) => {
  const memory = memoryFile();
  const ended = await run(args.map((word) => (word === "MEMORY" ? memory : word)));
  expect(complaint(ended)).toEqual([expect.stringMatching(message)]);
  expect(ended.stdout).toBe("");
  expect(ended.status).toBe(2);
});

test.each([
  ["nonsense", /layout "nonsense": it is q35, pc, microvm, or START\+SIZE,… as in 0\+2G,4G\+6G$/],
  ["0+1G", /layout "0\+1G" has 1073741824 bytes, and the memory has 98304$/],
])("--layout %s: one line, status 1", async (layout, message) => {
  const ended = await run(["inspect", memoryFile(), "log", "--layout", layout]);
  expect(complaint(ended)).toEqual([expect.stringMatching(message)]);
  expect(ended.status).toBe(1);
});

test("vmlinux tells what it wrote", async () => {
  const path = join(temporaryFolder(), "vmlinux");
  const memory = memoryFile();
  const told = await run(["inspect", memory, "vmlinux", "-o", path, "--json"]);
  const { vmlinux, notes } = JSON.parse(told.stdout) as {
    vmlinux: Readonly<Record<string, unknown>>;
    notes: unknown;
  };
  expect(vmlinux).toMatchObject({
    ...{ output: path, bytes: statSync(path).size, release: "6.12.0-tiny", kernelOffset: "0x0" },
    ...{ buildId: "0123456789abcdef", modules: [], unwindRows: 4 },
  });
  expect(notes).toEqual([expect.stringMatching(/^modules' types: .* no symbol btf_modules$/)]);
  const missing = await run(["inspect", memory, "vmlinux"]);
  expect(complaint(missing)).toEqual([expect.stringMatching(/: vmlinux writes a file: -o FILE$/)]);
  expect(missing.status).toBe(2);
});

test("a file that is there already is said before anything is done", async () => {
  const memory = memoryFile();
  for (const view of ["vmcore", "trace", "vmlinux"]) {
    const ended = await run(["inspect", memory, view, "-o", memory]);
    expect(complaint(ended)).toEqual([
      expect.stringMatching(/ is there already: name a new file$/),
    ]);
    expect(ended.status).toBe(1);
  }
});

/** `inspect … log --follow`, once it shows the first message. */
async function follow(memory: string): Promise<Running> {
  const following = start(["inspect", memory, "log", "--follow"]);
  await following.says(/Linux version/);
  return following;
}

async function endBySigint(following: Running): Promise<void> {
  following.child.kill("SIGINT");
  const { status, stderr } = await following.ended;
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

test("inspect log --follow goes on with each message, until SIGINT", async () => {
  const messages = ["Linux version tiny", "second"];
  const memory = memoryFile({ messages });
  const following = await follow(memory);
  await following.says(/second\n/);
  messages.push("third");
  overwrite(memory, tinyKernel({ messages }).bytes);
  await following.says(/third\n/);
  expect(following.stdout()).toBe(
    "<6>[    0.000000] Linux version tiny\n<6>[    1.500000] second\n<6>[    3.000000] third\n",
  );
  await endBySigint(following);
});

test("inspect log --follow counts the messages that went before it could read them", async () => {
  const messages = ["Linux version tiny"];
  const memory = memoryFile({ messages });
  const following = await follow(memory);
  messages.push(...Array.from({ length: 20 }, (_, i) => `m${i + 1}`));
  overwrite(memory, tinyKernel({ messages }).bytes);
  await following.says(/m20\n/);
  expect(following.stdout()).toMatch(/tiny\n\[virtio-pstore: 12 messages lost\]\n<6>.*m13\n/);
  await endBySigint(following);
});

test("inspect log --follow goes on with the next boot where it takes the former one's place", async () => {
  const memory = memoryFile({ messages: ["Linux version tiny", "before"] });
  const following = await follow(memory);
  await following.says(/before\n/);
  overwrite(memory, tinyKernel({ messages: ["Linux version again"] }).bytes);
  await following.says(/Linux version again/);
  expect(following.stdout()).toMatch(
    /before\n\[virtio-pstore: the guest booted again: Linux 6.12.0-tiny\]\n<6>\[ {4}0.000000\] Linux version again\n$/,
  );
  await endBySigint(following);
});

test("inspect log --follow goes on with the next boot where it lies elsewhere", async () => {
  const messages = ["Linux version tiny", "before"];
  const first = tinyKernel({ messages }).bytes;
  const memory = memoryFile({ messages });
  appendFileSync(memory, Buffer.alloc(first.length));
  const following = await follow(memory);
  await following.says(/before\n/);
  const next = { release: "6.12.0-next", base: first.length };
  overwrite(memory, tinyKernel({ ...next, messages: ["Linux version next"] }).bytes, next.base);
  await following.says(/Linux version next/);
  expect(following.stdout()).toMatch(
    /before\n\[virtio-pstore: the guest booted again: Linux 6.12.0-next\]\n<6>.* Linux version next\n$/,
  );
  overwrite(
    memory,
    tinyKernel({ ...next, messages: ["Linux version next", "goes on"] }).bytes,
    next.base,
  );
  await following.says(/goes on\n/);
  await endBySigint(following);
});

test("inspect log --follow says what can't be read of the next boot's kernel", async () => {
  const memory = memoryFile({ messages: ["Linux version tiny", "before"] });
  const first = tinyKernel().bytes;
  appendFileSync(memory, Buffer.alloc(first.length));
  const following = await follow(memory);
  await following.says(/before\n/);
  const options = { release: "6.12.0-next", base: first.length, messages: ["Linux version next"] };
  const { bytes, places } = tinyKernel(options);
  bytes.writeUInt32LE(2 ** 32 - 1, places.get("syms")?.at);
  overwrite(memory, bytes, first.length);
  await following.says(/Linux version next/);
  following.child.kill("SIGINT");
  const { status, stderr } = await following.ended;
  expect(stderr).toBe("virtio-pstore: symbols: kallsyms: 4294967295 symbols\n");
  expect(status).toBe(0);
});

test("inspect log --follow ends when the memory is cut short, with one line", async () => {
  const memory = memoryFile();
  const following = await follow(memory);
  writeFileSync(memory, "");
  const ended = await following.ended;
  expect(complaint(ended)).toEqual([
    expect.stringMatching(/memory: the memory file ends at \d+ bytes: it was cut short$/),
  ]);
  expect(ended.status).toBe(1);
});

test("inspect log --follow ends when nobody reads, though there is nothing to write", async () => {
  const following = await follow(memoryFile());
  onTestFinished(() => void following.child.kill("SIGKILL"));
  following.child.stdout?.destroy();
  await until(
    () => following.child.exitCode !== null,
    () => "it goes on",
  );
  expect(following.child.exitCode).toBe(0);
});
