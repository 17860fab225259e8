import { deflateSync } from "node:zlib";
import { MemoryError } from "../../../src/memory/index.js";
import { KDUMP } from "../../../src/memory/kdump-format.js";
import type { PhysicalMemory } from "../../../src/memory/physical-memory.js";
import { elfCore } from "../../../src/memory/source/elf-core.js";
import { FlattenedBacking } from "../../../src/memory/source/flattened.js";
import { KdumpCore } from "../../../src/memory/source/kdump.js";
import type { Backing } from "../../../src/memory/source/mapped-memory.js";
import type { Random } from "../random.js";
import { expect, type FuzzTarget, InputReader } from "../target.js";

const PAGE_BYTES = 4096;
const PAGES = 5;

/** What an input's first byte says: which core its changes are made in. */
const WAYS = ["elf", "kdump", "flattened"] as const;

/** Bytes in memory as a file. */
class BytesBacking implements Backing {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  data(at: number, size: number) {
    const end = Math.min(at + size, this.#bytes.length);
    return end > at ? [{ start: at, size: end - at }] : [];
  }

  read(at: number, into: Buffer): void {
    if (!(at >= 0) || at + into.length > this.#bytes.length) {
      throw new MemoryError("ENDED", "the core ends before");
    }
    this.#bytes.copy(into, 0, at);
  }
}

/** Headers of cores: each field says where to read and how much. An input is changes to a good core's. */
export class Cores implements FuzzTarget {
  readonly #cores = { elf: elf(), kdump: kdump(), flattened: flattened(kdump()) };

  generate(random: Random): Buffer {
    const way = random.below(WAYS.length);
    const core = this.#cores[WAYS[way] ?? "elf"];
    const parts = [Buffer.from([way])];
    for (let count = 1 + random.below(6); count > 0; count--) {
      const change = Buffer.alloc(7);
      change.writeUInt16LE(random.pick(PLACES)(random) % core.length, 0);
      change.writeUInt8(random.below(4), 2);
      change.writeUInt32LE(random.interesting32(), 3);
      parts.push(change);
    }
    return Buffer.concat(parts);
  }

  run(input: Buffer): string {
    const reader = new InputReader(input);
    const way = WAYS[reader.u8() % WAYS.length] ?? "elf";
    const bytes = Buffer.from(this.#cores[way]);
    while (reader.left > 0) {
      const at = reader.u16();
      const size = [1, 2, 4, 8][reader.u8() % 4] ?? 1;
      const value = reader.u32();
      if (at + 8 > bytes.length) continue;
      if (size === 8) bytes.writeBigUInt64LE(BigInt(value) << 20n, at);
      else bytes.writeUIntLE(value % 2 ** (8 * size), at, size);
    }
    try {
      const memory = this.#open(way, new BytesBacking(bytes));
      return `${way} ${memory.regions.length} ${readSome(memory)}`;
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      return `${way} ${error.code} ${error.message.replace(/\d+/g, "N")}`;
    }
  }

  check(): Promise<void> {
    for (const way of WAYS) {
      const memory = this.#open(way, new BytesBacking(this.#cores[way]));
      const page = Buffer.alloc(PAGE_BYTES);
      expect(memory.read(0, page) === PAGE_BYTES, "a good core is read");
      expect(page.equals(TEXT), "a good core's page is what it was");
    }
    return Promise.resolve();
  }

  close(): void {
    // There is nothing to close.
  }

  #open(way: (typeof WAYS)[number], backing: Backing): PhysicalMemory {
    const close = () => undefined;
    if (way === "elf") return elfCore(backing, close);
    return new KdumpCore(way === "kdump" ? backing : new FlattenedBacking(backing), close);
  }
}

/** Regions ascend and don't overlap; what is in no region isn't read. */
function readSome(memory: PhysicalMemory): string {
  let end = 0;
  let count = 0;
  const into = Buffer.alloc(2 * PAGE_BYTES);
  for (const { start, size } of memory.regions) {
    expect(start >= end && size > 0, "regions ascend and don't overlap");
    end = start + size;
    if (count++ < 8) expect(memory.read(start, into) <= size, "no more is read than a region has");
  }
  expect(memory.read(end, into) === 0, "nothing is behind the last region");
  return `${memory.extents().length > 0}`;
}

const TEXT = Buffer.alloc(PAGE_BYTES, "a page of a guest ");

/** Where the fields are: in an ELF file's headers, a core's header and sub-header, its bitmaps and descriptors. */
const PLACES: readonly ((random: Random) => number)[] = [
  (random) => random.below(64 + 3 * 56),
  (random) => KDUMP.HEADER.uts + 4 * 65 + random.below(200),
  (random) => PAGE_BYTES + random.below(KDUMP.SUB_HEADER.bytes),
  (random) => 2 * PAGE_BYTES + random.below(2),
  (random) => 4 * PAGE_BYTES + random.below(PAGES * KDUMP.DESCRIPTOR.bytes),
  (random) => random.u32(),
];

function elf(): Buffer {
  const core = Buffer.alloc(PAGE_BYTES * (2 + PAGES));
  core.write("\x7fELF\x02\x01\x01", "latin1");
  core.writeUInt16LE(4, 16);
  core.writeUInt16LE(62, 18);
  core.writeBigUInt64LE(64n, 32);
  core.writeUInt16LE(56, 54);
  core.writeUInt16LE(3, 56);
  [0, 0x1000, 0x1_0000_0000].forEach((physical, i) => {
    const at = 64 + 56 * i;
    core.writeUInt32LE(1, at);
    core.writeBigUInt64LE(BigInt(PAGE_BYTES * (1 + 2 * i)), at + 8);
    core.writeBigUInt64LE(BigInt(physical), at + 24);
    core.writeBigUInt64LE(BigInt(2 * PAGE_BYTES), at + 32);
    core.writeBigUInt64LE(BigInt(3 * PAGE_BYTES), at + 40);
  });
  TEXT.copy(core, PAGE_BYTES);
  return core;
}

function kdump(): Buffer {
  const { HEADER, DESCRIPTOR } = KDUMP;
  const core = Buffer.alloc(5 * PAGE_BYTES);
  core.write(KDUMP.SIGNATURE, "latin1");
  core.writeInt32LE(KDUMP.VERSION, HEADER.version);
  core.write("x86_64", HEADER.uts + 4 * 65, "latin1");
  core.writeInt32LE(PAGE_BYTES, HEADER.blockBytes);
  core.writeInt32LE(1, HEADER.subHeaderBlocks);
  core.writeUInt32LE(2, HEADER.bitmapBlocks);
  core[2 * PAGE_BYTES] = 2 ** PAGES - 1;
  core[3 * PAGE_BYTES] = 2 ** PAGES - 1;
  const packed = deflateSync(TEXT);
  const flags = [KDUMP.ZLIB, KDUMP.LZO, KDUMP.SNAPPY, KDUMP.ZSTD, 0];
  flags.forEach((flag, i) => {
    const at = 4 * PAGE_BYTES + i * DESCRIPTOR.bytes;
    core.writeBigUInt64LE(BigInt(core.length), at);
    core.writeUInt32LE(packed.length, at + DESCRIPTOR.size);
    core.writeUInt32LE(flag, at + DESCRIPTOR.flags);
  });
  return Buffer.concat([core, packed]);
}

function flattened(core: Buffer): Buffer {
  const header = Buffer.alloc(PAGE_BYTES);
  header.write("makedumpfile\0", "latin1");
  const piece = Buffer.alloc(16);
  piece.writeBigInt64BE(BigInt(core.length), 8);
  return Buffer.concat([header, piece, core, Buffer.alloc(16, 0xff)]);
}
