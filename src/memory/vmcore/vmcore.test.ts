import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { MemoryError } from "../errors.js";
import { KDUMP } from "../kdump-format.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { USER_REGISTER_NAMES, type UserRegisters } from "../registers.js";
import { openMemory } from "../source/open-memory.js";
import { packHere } from "./compress-pool.js";
import type { CoreFacts } from "./core-facts.js";
import { writeElf } from "./elf.js";
import { writeKdump } from "./kdump.js";

const PAGE = 4096;
const GIB = 2 ** 30;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "virtio-pstore-vmcore-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true });
  });
  return path;
}

function opened(path: string): PhysicalMemory {
  const memory = openMemory(path);
  onTestFinished(() => {
    memory.close();
  });
  return memory;
}

/** 3 GiB of memory with pages of text, of noise and of zeros, below 4 GiB and above. */
function guest(directory: string): PhysicalMemory {
  const path = join(directory, "memory");
  const fd = openSync(path, "w");
  ftruncateSync(fd, 3 * GIB);
  const page = Buffer.alloc(PAGE);
  let noise = 1;
  for (let i = 0; i < 700; i++) {
    const kind = i % 4;
    for (let at = 0; at < PAGE; at++) {
      noise = (Math.imul(noise, 1103515245) + 12345) >>> 0;
      page[at] = kind === 0 ? 0 : kind === 1 ? noise >>> 16 : kind === 2 ? i : at & i;
    }
    writeSync(fd, page, 0, PAGE, (i % 2 === 0 ? 0 : 2 * GIB) + i * PAGE);
  }
  closeSync(fd);
  return opened(path);
}

const registersOf = (first: number): UserRegisters => {
  const numbered = USER_REGISTER_NAMES.map((name, i) => [name, BigInt(first + i)] as const);
  return Object.fromEntries(numbered) as Record<keyof UserRegisters, bigint>;
};

const facts: CoreFacts = {
  vmcoreInfo: Buffer.from("OSRELEASE=6.1.0\nPAGESIZE=4096\n"),
  directMap: 0xffff888000000000n,
  image: { virtual: 0xffffffff81000000n, physical: 16 * PAGE, size: 32 * PAGE },
  physBase: -0x1000n,
  uts: ["Linux", "guest", "6.1.0", "#1", "x86_64", "(none)"],
  registers: [registersOf(0), registersOf(100)],
};

function expectSame(found: PhysicalMemory, wanted: PhysicalMemory): void {
  expect(found.regions).toEqual(wanted.regions);
  const [one, other] = [Buffer.alloc(64 * PAGE, 1), Buffer.alloc(64 * PAGE, 2)];
  for (const { start, size } of wanted.extents()) {
    for (let at = start; at < start + size; at += one.length) {
      expect(found.read(at, one)).toBe(wanted.read(at, other));
      expect(one.equals(other)).toBe(true);
    }
  }
  expect(found.read(GIB + 5, one)).toBe(one.length);
  expect(one.every((byte) => byte === 0)).toBe(true);
}

test.each(["with", "without"])(
  "an ELF core is the memory, %s facts of its kernel",
  async (which) => {
    const directory = folder();
    const memory = guest(directory);
    const core = join(directory, "core");
    await writeElf(memory, core, which === "with" ? facts : undefined);
    expectSame(opened(core), memory);
    // A fourth of the pages is zeros.
    expect(statSync(core).blocks * 512).toBeLessThan(560 * PAGE);
    expect(readdirSync(directory).sort()).toEqual(["core", "memory"]);
    expect(statSync(core).mode & 0o777).toBe(0o600);
  },
);

test("an ELF core tells the kernel's addresses, and has its image once", async () => {
  const directory = folder();
  const core = join(directory, "core");
  await writeElf(guest(directory), core, facts);
  const fd = openSync(core, "r");
  const head = Buffer.alloc(8192);
  readSync(fd, head);
  closeSync(fd);
  expect(head.readUInt16LE(56)).toBe(4);
  const segment = (i: number) => {
    const at = 64 + 56 * i;
    return [8, 16, 24, 32].map((field) => head.readBigUInt64LE(at + field));
  };
  const [image, low, high] = [1, 2, 3].map(segment);
  expect(low?.slice(1)).toEqual([facts.directMap, 0n, BigInt(2 * GIB)]);
  expect(high?.slice(1)).toEqual([facts.directMap + BigInt(4 * GIB), BigInt(4 * GIB), BigInt(GIB)]);
  expect(image).toEqual([(low?.[0] ?? 0n) + 65536n, facts.image.virtual, 65536n, 131072n]);
  const notes = head.subarray(64 + 4 * 56);
  expect(notes.toString("latin1")).toContain(
    `VMCOREINFO\0\0${facts.vmcoreInfo.toString("latin1")}`,
  );
  expect(notes.readBigUInt64LE(20 + 112 + 8 * 26)).toBe(26n);
});

test("a kdump-compressed core is the memory", async () => {
  const directory = folder();
  const memory = guest(directory);
  const core = join(directory, "core");
  const told: number[] = [];
  await writeKdump(memory, core, facts, undefined, {
    compression: "zlib",
    packer: packHere("zlib"),
    progress: (done, total) => told.push(done / total),
  });
  expectSame(opened(core), memory);
  expect(statSync(core).size).toBeLessThan(420 * PAGE);
  expect(told.every((part) => part >= 0 && part <= 1)).toBe(true);
});

test("a kdump-compressed core's VMCOREINFO is in its notes, which makedumpfile copies", async () => {
  const { core } = await smallCore("kdump");
  const { SUB_HEADER } = KDUMP;
  const [infoAt, infoBytes, noteAt, noteBytes] = [
    ...[SUB_HEADER.vmcoreInfoAt, SUB_HEADER.vmcoreInfoBytes],
    ...[SUB_HEADER.noteAt, SUB_HEADER.noteBytes],
  ].map((at) => Number(core.readBigUInt64LE(PAGE + at)));
  const [from = 0, size = 0, notes = 0, all = 0] = [infoAt, infoBytes, noteAt, noteBytes];
  expect(core.subarray(from, from + size)).toEqual(facts.vmcoreInfo);
  expect(from).toBeGreaterThan(notes);
  expect(from + size).toBeLessThanOrEqual(notes + all);
});

test.each(["elf", "kdump"])("the CPUs' registers are in an %s core", async (format) => {
  const directory = folder();
  const memory = guest(directory);
  const core = join(directory, "core");
  if (format === "elf") await writeElf(memory, core, facts);
  else {
    const packer = packHere("zlib");
    await writeKdump(memory, core, facts, undefined, { compression: "zlib", packer });
  }
  expect([...(opened(core).registers ?? [])]).toEqual([...facts.registers.entries()]);
});

test.each(["elf", "kdump"])(
  "pages that are left out of an %s core read as zeros",
  async (format) => {
    const directory = folder();
    const memory = guest(directory);
    const core = join(directory, "core");
    const leftOut = (page: number) => page === 2;
    if (format === "elf") await writeElf(memory, core, facts, leftOut);
    else {
      const packer = packHere("zlib");
      await writeKdump(memory, core, facts, leftOut, { compression: "zlib", packer, level: 31 });
    }
    const bytes = Buffer.alloc(8);
    expect(opened(core).read(2 * PAGE, bytes)).toBe(8);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(opened(core).read(6 * PAGE, bytes)).toBe(8);
    expect(bytes.every((byte) => byte === 6)).toBe(true);
  },
);

test("what fails or is stopped leaves nothing, and nothing is replaced", async () => {
  const directory = folder();
  const memory = guest(directory);
  const core = join(directory, "core");
  const stop = AbortSignal.abort(new Error("stopped"));
  await expect(writeElf(memory, core, facts, undefined, { stop })).rejects.toThrow("stopped");
  const packer = { ...packHere("zlib"), pack: () => Promise.reject(new Error("no memory")) };
  const kdump = writeKdump(memory, core, facts, undefined, { compression: "zlib", packer });
  await expect(kdump).rejects.toThrow("no memory");
  expect(readdirSync(directory)).toEqual(["memory"]);
  writeFileSync(core, "mine");
  await expect(writeElf(memory, core, facts)).rejects.toMatchObject({ code: "EEXIST" });
  expect(readFileSync(core, "latin1")).toBe("mine");
  expect(readdirSync(directory).sort()).toEqual(["core", "memory"]);
});

/** A kdump-compressed core as makedumpfile -F writes it: a piece for each 10,000 bytes, the header written twice. */
function flattened(plain: Buffer): Buffer {
  const head = Buffer.alloc(PAGE);
  head.write("makedumpfile\0", "latin1");
  const piece = (offset: bigint, bytes: Buffer) => {
    const header = Buffer.alloc(16);
    header.writeBigInt64BE(offset, 0);
    header.writeBigInt64BE(offset < 0n ? -1n : BigInt(bytes.length), 8);
    return [header, bytes];
  };
  const pieces = [piece(0n, Buffer.alloc(10_000, 1))];
  for (let at = 0; at < plain.length; at += 10_000) {
    pieces.push(piece(BigInt(at), plain.subarray(at, at + 10_000)));
  }
  return Buffer.concat([head, ...pieces.flat(), ...piece(-1n, Buffer.alloc(0))]);
}

async function smallCore(format: "elf" | "kdump"): Promise<{ directory: string; core: Buffer }> {
  const directory = folder();
  const path = join(directory, "memory");
  writeFileSync(
    path,
    Buffer.concat([Buffer.alloc(3 * PAGE, "one "), Buffer.alloc(PAGE), Buffer.alloc(PAGE, "end ")]),
  );
  const core = join(directory, "core");
  const packer = packHere("zlib");
  if (format === "elf") await writeElf(opened(path), core, facts);
  else await writeKdump(opened(path), core, facts, undefined, { compression: "zlib", packer });
  return { directory, core: readFileSync(core) };
}

test.each(["elf", "kdump"] as const)("a flattened %s core is read as it was", async (format) => {
  const { directory, core } = await smallCore(format);
  const path = join(directory, "flat");
  writeFileSync(path, flattened(core));
  const memory = opened(path);
  const bytes = Buffer.alloc(5 * PAGE);
  expect(memory.read(0, bytes)).toBe(5 * PAGE);
  expect(bytes.toString("latin1", 2 * PAGE, 2 * PAGE + 4)).toBe("one ");
  expect(bytes.toString("latin1", 5 * PAGE - 4)).toBe("end ");
});

test("pages are compressed with lzo, snappy or zstd", async () => {
  const { directory, core } = await smallCore("kdump");
  const text = Buffer.alloc(PAGE);
  for (let i = 0; i < PAGE; i++) text[i] = i * 7;
  const literals = {
    // 18 + 15 and what is above in steps of 255 (Documentation/staging/lzo.rst), then the end.
    [KDUMP.LZO]: [
      Buffer.from([0, ...new Array<number>(15).fill(0), 253]),
      text,
      Buffer.from([17, 0, 0]),
    ],
    // A varint of 4096, and a literal whose length less one takes two bytes.
    [KDUMP.SNAPPY]: [Buffer.from([0x80, 0x20, 61 << 2, 0xff, 0x0f]), text],
    // A frame with a window and one raw block, which is the last.
    [KDUMP.ZSTD]: [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x10, 1, 0x80, 0]), text],
  };
  for (const [flag, parts] of Object.entries(literals)) {
    const packed = Buffer.concat(parts);
    const changed = Buffer.concat([core, packed]);
    const descriptors = (1 + core.readInt32LE(432) + core.readUInt32LE(436)) * PAGE;
    changed.writeBigUInt64LE(BigInt(core.length), descriptors);
    changed.writeUInt32LE(packed.length, descriptors + 8);
    changed.writeUInt32LE(Number(flag), descriptors + 12);
    const path = join(directory, `core-${flag}`);
    writeFileSync(path, changed);
    const bytes = Buffer.alloc(PAGE);
    opened(path).read(0, bytes);
    expect(bytes.equals(text)).toBe(true);
  }
});

test.each(["elf", "kdump", "flattened"])(
  "an %s core that is damaged is read or refused in a line",
  async (form) => {
    const { directory, core } = await smallCore(form === "elf" ? "elf" : "kdump");
    const whole = form === "flattened" ? flattened(core) : core;
    const path = join(directory, "damaged");
    // The headers are where it hurts.
    const place = fc.oneof(
      fc.nat(600),
      fc.integer({ min: PAGE, max: PAGE + 200 }),
      fc.nat(whole.length - 1),
    );
    const change = fc.tuple(place, fc.oneof(fc.nat(255), fc.constantFrom(0, 127, 128, 255)));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), fc.nat(whole.length), (changes, length) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        writeFileSync(path, bytes.subarray(0, length % 4 === 0 ? length : bytes.length));
        try {
          const memory = openMemory(path);
          try {
            const into = Buffer.alloc(2 * PAGE);
            for (const { start, size } of memory.regions.slice(0, 16)) {
              expect(memory.read(start, into)).toBeLessThanOrEqual(size);
            }
            // Behind what a core holds of a region its zeros go on.
            for (const { start } of memory.extents().slice(0, 16)) memory.read(start, into);
          } finally {
            memory.close();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(MemoryError);
        }
      }),
      { numRuns: 300 },
    );
  },
);
