import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import { KDUMP } from "../kdump-format.js";
import { elfCore } from "./elf-core.js";
import { KdumpCore } from "./kdump.js";
import type { Backing } from "./mapped-memory.js";

const PAGE_BYTES = 4096;
const close = () => undefined;

/** A file in memory that notes at which offsets it was read. */
function fileOf(bytes: Buffer): Backing & { readonly reads: number[] } {
  const reads: number[] = [];
  return {
    reads,
    data: (start, size) => [{ start, size }],
    read: (at, into) => {
      reads.push(at);
      bytes.copy(into, 0, at);
    },
  };
}

interface Segment {
  readonly offset: bigint;
  readonly start: bigint;
  readonly held: bigint;
  readonly size: bigint;
}

function elf(segments: readonly Segment[]): Buffer {
  const core = Buffer.alloc(4 * PAGE_BYTES);
  core.write("\x7fELF\x02\x01\x01", "latin1");
  core.writeUInt16LE(4, 16);
  core.writeUInt16LE(62, 18);
  core.writeBigUInt64LE(64n, 32);
  core.writeUInt16LE(56, 54);
  core.writeUInt16LE(segments.length, 56);
  segments.forEach(({ offset, start, held, size }, i) => {
    const at = 64 + 56 * i;
    core.writeUInt32LE(1, at);
    for (const [j, value] of [offset, 0n, start, held, size].entries()) {
      core.writeBigUInt64LE(value, at + 8 + 8 * j);
    }
  });
  return core;
}

test("an ELF core in which two segments have the same bytes of the file is damaged", () => {
  const page = { offset: 4096n, held: 4096n, size: 4096n };
  const twice = elf([
    { ...page, start: 0n },
    { ...page, start: 0x10000n },
  ]);
  expect(() => elfCore(fileOf(twice), close)).toThrow(MemoryError);
  // The kernel's text has a segment of its own in memory that another one has as well.
  const text = elf([
    { ...page, start: 0n, held: 8192n, size: 8192n },
    { ...page, start: 4096n, offset: 8192n },
  ]);
  expect(elfCore(fileOf(text), close).regions).toEqual([{ start: 0, size: 8192 }]);
});

test("a segment of an ELF core that isn't in the file is zeros, wherever it says that it is, and none of its extents", () => {
  const core = elf([{ offset: 2n ** 64n - 1n, start: 0n, held: 0n, size: 2n ** 51n }]);
  const memory = elfCore(fileOf(core), close);
  expect(memory.regions).toEqual([{ start: 0, size: 2 ** 51 }]);
  expect(memory.extents()).toEqual([]);
  const into = Buffer.alloc(4, 1);
  expect(memory.read(2 ** 50, into)).toBe(4);
  expect(into).toEqual(Buffer.alloc(4));
});

test("pages of a kdump-compressed core that lie at one offset are decompressed once", () => {
  const pages = 3 * 512;
  const { HEADER, DESCRIPTOR } = KDUMP;
  const descriptorsAt = 4 * PAGE_BYTES;
  const dataAt = descriptorsAt + Math.ceil((pages * DESCRIPTOR.bytes) / PAGE_BYTES) * PAGE_BYTES;
  const packed = deflateSync(Buffer.alloc(PAGE_BYTES, "page"));
  const core = Buffer.alloc(dataAt + PAGE_BYTES);
  core.write(KDUMP.SIGNATURE, "latin1");
  core.writeInt32LE(KDUMP.VERSION, HEADER.version);
  core.writeInt32LE(PAGE_BYTES, HEADER.blockBytes);
  core.writeInt32LE(1, HEADER.subHeaderBlocks);
  core.writeUInt32LE(2, HEADER.bitmapBlocks);
  core.fill(0xff, 2 * PAGE_BYTES, 2 * PAGE_BYTES + pages / 8);
  core.fill(0xff, 3 * PAGE_BYTES, 3 * PAGE_BYTES + pages / 8);
  for (let i = 0; i < pages; i++) {
    const at = descriptorsAt + i * DESCRIPTOR.bytes;
    core.writeBigUInt64LE(BigInt(dataAt), at);
    core.writeUInt32LE(packed.length, at + DESCRIPTOR.size);
    core.writeUInt32LE(KDUMP.ZLIB, at + DESCRIPTOR.flags);
  }
  packed.copy(core, dataAt);
  const file = fileOf(core);
  const memory = new KdumpCore(file, close);
  expect(memory.regions).toEqual([{ start: 0, size: pages * PAGE_BYTES }]);
  expect(memory.extents()).toEqual(memory.regions);
  const into = Buffer.alloc(pages * PAGE_BYTES);
  expect(memory.read(0, into)).toBe(into.length);
  expect(into.equals(Buffer.alloc(into.length, "page"))).toBe(true);
  expect(file.reads.filter((at) => at === dataAt)).toHaveLength(1);
});
