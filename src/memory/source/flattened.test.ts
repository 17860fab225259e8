import { expect, test } from "vitest";
import { MemoryError } from "../errors.js";
import { FlattenedBacking } from "./flattened.js";
import type { Backing } from "./mapped-memory.js";

const HEADER_BYTES = 4096;

/** A flattened file of these texts, each for an offset. */
function flattened(texts: Readonly<Record<number, string>>): Backing {
  const pieces = Object.entries(texts).map(([at, text]) => {
    const header = Buffer.alloc(16);
    header.writeBigInt64BE(BigInt(at));
    header.writeBigInt64BE(BigInt(text.length), 8);
    return Buffer.concat([header, Buffer.from(text)]);
  });
  const file = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...pieces, Buffer.alloc(16, 0xff)]);
  return {
    data: (start, size) => [{ start, size }],
    read: (at, into) => {
      file.copy(into, 0, at);
    },
  };
}

test("a header that is shorter than its block is followed by zeros", () => {
  const backing = new FlattenedBacking(flattened({ 0: "header", 4096: "next" }));
  const block = Buffer.alloc(4100, "?");
  backing.read(0, block);
  expect(block.toString("latin1", 0, 8)).toBe("header\0\0");
  expect(block.toString("latin1", 4094)).toBe("\0\0next");
});

test("a long read in which most is in no piece is refused: a core's bitmap has no holes", () => {
  const backing = new FlattenedBacking(flattened({ 0: "header", [2 ** 30]: "last" }));
  expect(() => {
    backing.read(0, Buffer.alloc(2 ** 20));
  }).toThrow(MemoryError);
});

test("a file of short pieces is refused before all of them are read", () => {
  const piece = Buffer.alloc(17);
  piece.writeBigInt64BE(1n, 8);
  let reads = 0;
  const file: Backing = {
    data: () => [],
    read: (at, into) => {
      reads++;
      piece.writeBigInt64BE(BigInt(at), 0);
      piece.copy(into);
    },
  };
  expect(() => new FlattenedBacking(file)).toThrow("it is in too many pieces of a few bytes");
  expect(reads).toBeLessThan(10_000);
});
