import { spawn } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createMemfd } from "../../os/index.js";
import { MemoryError } from "../errors.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { openMemory } from "./open-memory.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "virtio-pstore-memory-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true });
  });
  return path;
}

/** A sparse file with text at some offsets. */
function sparseFile(
  size: number,
  texts: Readonly<Record<number, string>>,
  encoding: BufferEncoding = "utf8",
): string {
  const path = join(folder(), "memory");
  const fd = openSync(path, "w");
  ftruncateSync(fd, size);
  for (const [at, text] of Object.entries(texts)) writeSync(fd, text, Number(at), encoding);
  closeSync(fd);
  return path;
}

function opened(source: string | number, options?: Parameters<typeof openMemory>[1]) {
  const memory = openMemory(source, options);
  onTestFinished(() => {
    memory.close();
  });
  return memory;
}

function textAt(memory: PhysicalMemory, address: number, bytes: number): string {
  const into = Buffer.alloc(bytes, "?");
  return into.toString("latin1", 0, memory.read(address, into));
}

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(MemoryError);
    return (error as MemoryError).code;
  }
}

test("a memory file is read where its machine has it, and its holes stay holes", () => {
  const path = sparseFile(4 * GIB, { 0: "low", [2 * GIB]: "high", [3 * GIB]: "higher" });
  const before = statSync(path).blocks;
  const memory = opened(path);
  expect(memory.regions).toEqual([
    { start: 0, size: 2 * GIB },
    { start: 4 * GIB, size: 2 * GIB },
  ]);
  expect(memory.extents()).toEqual([
    { start: 0, size: 4096 },
    { start: 4 * GIB, size: 4096 },
    { start: 5 * GIB, size: 4096 },
  ]);
  expect(textAt(memory, 0, 3)).toBe("low");
  expect(textAt(memory, 4 * GIB, 4)).toBe("high");
  expect(textAt(memory, 2 * GIB - 2, 4)).toBe("\0\0");
  expect(textAt(memory, 3 * GIB, 4)).toBe("");
  expect(textAt(memory, 6 * GIB, 4)).toBe("");
  const zeros = Buffer.alloc(MIB, 1);
  expect(memory.read(GIB, zeros)).toBe(MIB);
  expect(zeros.equals(Buffer.alloc(MIB))).toBe(true);
  expect(statSync(path).blocks).toBe(before);
});

test.each([
  ["q35", 2816 * MIB - 4096, [[0, 2816 * MIB - 4096]]],
  [
    "q35",
    2816 * MIB,
    [
      [0, 2 * GIB],
      [4 * GIB, 768 * MIB],
    ],
  ],
  ["pc", 3584 * MIB - 4096, [[0, 3584 * MIB - 4096]]],
  [
    "pc",
    3584 * MIB,
    [
      [0, 3 * GIB],
      [4 * GIB, 512 * MIB],
    ],
  ],
  ["microvm", 3 * GIB, [[0, 3 * GIB]]],
  [
    "microvm",
    3 * GIB + MIB,
    [
      [0, 3 * GIB],
      [4 * GIB, MIB],
    ],
  ],
  [
    "0+1G,8G+0x100000",
    3 * GIB,
    [
      [0, GIB],
      [8 * GIB, MIB],
    ],
  ],
])("layout %s of %i bytes", (layout, size, regions) => {
  expect(opened(sparseFile(size, {}), { layout }).regions).toEqual(
    regions.map(([start, length]) => ({ start, size: length })),
  );
});

test.each(["", "q36", "0", "0+", "0+0", "0+1G,512M+1G", "0+1G+2", "0+-1", "1P+1", "0+2G,4G+2G"])(
  "layout %j is refused in a line",
  (layout) => {
    expect(codeOf(() => openMemory(sparseFile(3 * GIB, {}), { layout }))).toBe("UNSUPPORTED");
  },
);

test("where several layouts are possible, the one is taken that fits", () => {
  const path = sparseFile(4 * GIB, { [3 * GIB]: "kernel" });
  const asked: number[] = [];
  const memory = opened(path, {
    fits: (candidate) => {
      asked.push(candidate.regions[0]?.size ?? 0);
      return textAt(candidate, 4 * GIB, 6) === "kernel";
    },
  });
  expect(memory.regions[0]).toEqual({ start: 0, size: 3 * GIB });
  expect(asked).toEqual([2 * GIB, 3 * GIB]);
  expect(opened(path, { fits: () => false }).regions[0]?.size).toBe(2 * GIB);
});

test("what is no memory is said to be none", () => {
  const directory = folder();
  mkdirSync(join(directory, "one"));
  expect(codeOf(() => openMemory(join(directory, "one")))).toBe("NOT_MEMORY");
  expect(codeOf(() => openMemory(sparseFile(0, {})))).toBe("NOT_MEMORY");
  expect(codeOf(() => openMemory(sparseFile(4097, {})))).toBe("NOT_MEMORY");
  expect(() => openMemory(join(directory, "none"))).toThrow("ENOENT");
  expect(codeOf(() => openMemory(2 ** 30))).toBe("ENDED");
});

test("a core of a process, which has no physical addresses, is read at its own", () => {
  const header = Buffer.alloc(64 + 2 * 56);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt8(64, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  for (const [i, virtual] of [0x60000000, 0x66daa000].entries()) {
    const at = 64 + i * 56;
    header.writeUInt32LE(1, at);
    header.writeUInt32LE((i + 1) * 4096, at + 8);
    header.writeUInt32LE(virtual, at + 16);
    header.writeUInt32LE(4096, at + 32);
    header.writeUInt32LE(4096, at + 40);
  }
  const texts = { 0: header.toString("latin1"), 4096: "program", 8192: "memory" };
  const memory = opened(sparseFile(12288, texts, "latin1"));
  expect(memory.regions.map(({ start }) => start)).toEqual([0x60000000, 0x66daa000]);
  expect(textAt(memory, 0x60000000, 7)).toBe("program");
  expect(textAt(memory, 0x66daa000, 6)).toBe("memory");
});

test("a file that becomes shorter is told", () => {
  const path = sparseFile(64 * MIB, { 0: "begin", [32 * MIB]: "end" });
  const memory = opened(path);
  const fd = openSync(path, "r+");
  ftruncateSync(fd, MIB);
  closeSync(fd);
  expect(textAt(memory, 0, 5)).toBe("begin");
  expect(codeOf(() => textAt(memory, 32 * MIB, 3))).toBe("ENDED");
});

/** A process with memory as VMMs map theirs: what it is told to map, in this order, with text at some places. */
async function vmm(script: string, argv0 = "vmm", args: readonly string[] = []): Promise<number> {
  const child = spawn(
    "python3",
    [
      "-c",
      `import mmap, os, sys\n${script}\nprint("mapped", flush=True)\nsys.stdin.read()`,
      ...args,
    ],
    { argv0, stdio: ["pipe", "pipe", "inherit"] },
  );
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => {
      resolve();
    });
    child.once("close", () => {
      reject(new Error("the process ended"));
    });
  });
  return child.pid ?? -1;
}

function residentPages(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]);
}

const anonymous = (name: string, size: number, texts: Readonly<Record<number, string>>) =>
  [
    `${name} = mmap.mmap(-1, ${size}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)`,
    ...Object.entries(texts).map(([at, text]) => {
      return `${name}[${at}:${Number(at) + text.length}] = b"${text}"`;
    }),
  ].join("\n");

test("a process's anonymous memory is read, and no page more is made", async () => {
  const pid = await vmm(anonymous("ram", 256 * MIB, { 0: "low", [100 * MIB - 2]: "across" }));
  const memory = opened(pid);
  const before = residentPages(pid);
  expect(memory.regions).toEqual([{ start: 0, size: 256 * MIB }]);
  expect(textAt(memory, 0, 3)).toBe("low");
  expect(textAt(memory, 100 * MIB - 2, 6)).toBe("across");
  const extents = memory.extents();
  expect(extents.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(8 * MIB);
  expect(extents[0]?.start).toBe(0);
  const into = Buffer.alloc(MIB);
  for (let at = 0; at < 256 * MIB; at += MIB) expect(memory.read(at, into)).toBe(MIB);
  expect(residentPages(pid)).toBe(before);
});

test("Firecracker and cloud-hypervisor: 3 GiB, and the rest as a block that the kernel joins with it", async () => {
  const low = anonymous("low", 3 * GIB, { 0: "low", [GIB]: "more" });
  const high = anonymous("high", 2 * GIB, { 0: "high", [GIB]: "higher" });
  const pid = await vmm(`${low}\n${high}`);
  const fits = (memory: PhysicalMemory) => textAt(memory, 0, 3) === "low";
  const memory = opened(pid, { fits });
  expect(memory.regions).toEqual([
    { start: 0, size: 3 * GIB },
    { start: 4 * GIB, size: 2 * GIB },
  ]);
  expect(textAt(memory, 0, 3)).toBe("low");
  expect(textAt(memory, GIB, 4)).toBe("more");
  expect(textAt(memory, 4 * GIB, 4)).toBe("high");
  expect(textAt(memory, 5 * GIB, 6)).toBe("higher");
});

test("Firecracker and cloud-hypervisor: two blocks with others between", async () => {
  const guard = `guard = mmap.mmap(-1, ${GIB}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)`;
  const low = anonymous("low", 3 * GIB, { 0: "low" });
  const high = anonymous("high", 5 * GIB, { 0: "high" });
  const memory = opened(await vmm(`${low}\n${guard}\n${high}`));
  expect(textAt(memory, 0, 3)).toBe("low");
  expect(textAt(memory, 4 * GIB, 4)).toBe("high");
});

/** A process that is taken for QEMU, with these arguments. */
const qemu = (args: readonly string[]): Promise<number> =>
  vmm(anonymous("ram", 64 * MIB, {}), "vmm", ["qemu-system-x86_64", ...args]);

test.each([
  ["sev-guest", ["-machine", "q35,memory-encryption=a", "-object", "sev-guest,id=a,cbitpos=51"]],
  [
    "sev-snp-guest",
    ["-machine", "q35,confidential-guest-support=a", "-object", "id=a,qom-type=sev-snp-guest"],
  ],
  ["tdx-guest", ["-object", '{"qom-type":"tdx-guest","id":"a"}']],
])("a guest that QEMU runs encrypted, with %s, is said to be so at once", async (name, args) => {
  const pid = await qemu(args);
  expect(codeOf(() => openMemory(pid))).toBe("ENCRYPTED");
  expect(() => openMemory(pid)).toThrow(
    `the guest's memory is encrypted (QEMU's ${name}), and the host hasn't the key`,
  );
});

test("an object that is only called like one doesn't encrypt anything", async () => {
  const args = ["-object", "memory-backend-ram,id=sev-guest,size=64M"];
  const pid = await qemu(args);
  expect(opened(pid).regions).toEqual([{ start: 0, size: 64 * MIB }]);
});

test("memory shared by a memfd is read by its descriptor", async () => {
  const pid = await vmm(
    [
      "fd = os.memfd_create('guest')",
      `os.ftruncate(fd, ${4 * GIB})`,
      `high = mmap.mmap(fd, ${GIB}, offset=${3 * GIB})`,
      `low = mmap.mmap(fd, ${3 * GIB})`,
      "low[0:3] = b'low'",
      "high[0:4] = b'high'",
    ].join("\n"),
  );
  const memory = opened(pid);
  const before = residentPages(pid);
  expect(textAt(memory, 0, 3)).toBe("low");
  expect(textAt(memory, 4 * GIB, 4)).toBe("high");
  expect(textAt(memory, GIB, 2)).toBe("\0\0");
  expect(memory.extents()).toEqual([
    { start: 0, size: 4096 },
    { start: 4 * GIB, size: 4096 },
  ]);
  expect(residentPages(pid)).toBe(before);
});

test("a private mapping of a file, as a restored snapshot's: what the guest wrote, else the file's", async () => {
  const path = sparseFile(64 * MIB, {
    0: "from the file",
    [MIB]: "written over",
    [2 * MIB]: "kept",
  });
  const pid = await vmm(
    [
      `fd = os.open(${JSON.stringify(path)}, os.O_RDWR)`,
      `ram = mmap.mmap(fd, ${64 * MIB}, mmap.MAP_PRIVATE)`,
      "os.close(fd)",
      `ram[${MIB}:${MIB + 7}] = b'WRITTEN'`,
      `ram[${3 * MIB}:${3 * MIB + 3}] = b'new'`,
    ].join("\n"),
  );
  const memory = opened(pid);
  expect(textAt(memory, 0, 13)).toBe("from the file");
  expect(textAt(memory, MIB, 12)).toBe("WRITTEN over");
  expect(textAt(memory, 2 * MIB, 4)).toBe("kept");
  expect(textAt(memory, 3 * MIB, 3)).toBe("new");
  const wanted = [0, MIB, 2 * MIB, 3 * MIB].map((start) => ({ start, size: 4096 }));
  expect(memory.extents()).toEqual(expect.arrayContaining(wanted));
});

test("a process that ends meanwhile is told, and one without a guest", async () => {
  const pid = await vmm(anonymous("ram", 64 * MIB, { 0: "low" }));
  const memory = opened(pid);
  expect(textAt(memory, 0, 3)).toBe("low");
  process.kill(pid, "SIGKILL");
  await expect.poll(() => codeOf(() => textAt(memory, 0, 3))).toBe("ENDED");
  expect(codeOf(() => memory.extents())).toBe("ENDED");
  expect(codeOf(() => openMemory(pid))).toMatch(/^(?:ENDED|NOT_MEMORY)$/);
  expect(codeOf(() => openMemory(1))).toMatch(/^(?:NOT_MEMORY|NO_RIGHT)$/);
});

test("a memfd of our own is read by its path below /proc", () => {
  const fd = createMemfd("guest");
  onTestFinished(() => {
    closeSync(fd);
  });
  ftruncateSync(fd, GIB);
  writeSync(fd, "text", 512 * MIB);
  const memory = opened(`/proc/self/fd/${fd}`);
  expect(textAt(memory, 512 * MIB, 4)).toBe("text");
  expect(statSync(`/proc/self/fd/${fd}`).blocks).toBe(8);
});
