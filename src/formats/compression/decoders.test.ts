import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compressors, mutated, numberSequence } from "../../../test/support/compressed.js";
import { decompress } from "../decompress.js";
import { decode842 } from "./842.js";
import { decodeLz4 } from "./lz4.js";
import { decodeLzo } from "./lzo.js";
import { decodeZstd } from "./zstd.js";

const MAX_BYTES = 1 << 20;

/** Made by a real kernel, as test/vm/compressed-record.ts says. */
const record = (compressor: string): Buffer =>
  readFileSync(new URL(`../../../test/fixtures/compression/${compressor}`, import.meta.url));

const decoders = [
  ["zstd", decodeZstd],
  ["lzo", decodeLzo],
  ["lz4", decodeLz4],
  ["842", decode842],
] as const;

describe.each(compressors)("a record that Linux compressed with %s", (compressor, compression) => {
  const whole = record(compressor);

  test("is read, and by no other decoder", () => {
    const decoded = decompress(whole);
    expect(decoded).toMatchObject({ compression, ending: "whole" });
    const text = decoded?.text.toString() ?? "";
    expect(text).toMatch(/^Panic#1 Part1\n/);
    expect(text).toContain("a-real-kernel");
    expect(text).toMatch(/---\[ end Kernel panic[^\n]*\n$|Kernel panic - not syncing/);
    const others = decoders.filter(([name]) => name !== compression);
    for (const [, decode] of others) {
      expect(decode(whole, MAX_BYTES).text.toString("latin1")).not.toMatch(/^Panic#/);
    }
  });

  test("is read with padding behind it", () => {
    const padded = decompress(Buffer.concat([whole, Buffer.alloc(100)]));
    expect(padded).toEqual(decompress(whole));
  });

  test("gives what there is of it wherever it is cut", () => {
    const text = decompress(whole)?.text ?? Buffer.alloc(0);
    for (let size = 0; size < whole.length; size += 97) {
      const cut = decompress(whole.subarray(0, size));
      if (cut === undefined) continue;
      expect(text.subarray(0, cut.text.length).equals(cut.text)).toBe(true);
    }
    // A block of zstd is there as a whole or not at all.
    if (compression === "zstd") return;
    const most = decompress(whole.subarray(0, -20));
    expect(most?.text.length).toBeGreaterThan(0.8 * text.length);
    if (compression !== "lz4") expect(most?.ending).toBe("cut");
  });
});

describe.each(decoders)("%s, whatever the bytes are", (name, decode) => {
  const random = numberSequence(842);
  const whole = record(name);

  test("takes no more than its limit", () => {
    const text = decode(whole, MAX_BYTES).text;
    const { text: some, ending } = decode(whole, 1000);
    expect(ending).toBe("too large");
    expect(some.length).toBeLessThanOrEqual(1000);
    expect(text.subarray(0, some.length).equals(some)).toBe(true);
  });

  test("ends with a result for what was changed, and for noise", () => {
    for (let i = 0; i < 20_000; i++) {
      const changed = mutated(random, whole.subarray(0, 40 + (i % 400)));
      expect(decode(changed, 4096).text.length).toBeLessThanOrEqual(4096);
      const noise = Buffer.from(Array.from({ length: i % 60 }, () => 256 * random()));
      expect(decode(noise, 4096).text.length).toBeLessThanOrEqual(4096);
    }
  });
});

describe("a bomb is told as too large", () => {
  const header = Buffer.from("Panic#1 Part1\n<4>text\n");
  test.each([
    [
      "lz4",
      [
        0xff,
        header.length - 15,
        ...header,
        1,
        0,
        ...new Array<number>(70_000).fill(255),
        0,
        0x10,
        0x41,
      ],
    ],
    ["lzo", [17 + header.length, ...header, 0x20, ...new Array<number>(70_000).fill(0), 1, 0, 0]],
    // A frame of raw and RLE blocks.
    [
      "zstd",
      [
        ...[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 8 * header.length, 0, 0, ...header],
        ...Array.from({ length: 200 }, () => [2, 0, 0x10, 0x41]).flat(),
      ],
    ],
  ] as const)("%s", (compression, bytes) => {
    expect(decompress(Uint8Array.from(bytes))).toMatchObject({
      compression,
      ending: "too large",
    });
  });
});

test("zstd: blocks without end are broken: each may hold tables and no text", () => {
  const blocks = Array.from({ length: 5000 }, () => [0x08, 0, 0, 0x41]).flat();
  const { text, ending } = decodeZstd(
    Uint8Array.of(...[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58], ...blocks),
    16 << 20,
  );
  expect([text.length, ending]).toEqual([1024, "broken"]);
});

test("zstd: a block whose sequences would go on for ever ends at what a block may hold", () => {
  // 98,047 matches of 65,539 bytes and more, all in ten bytes, as fzstd 0.1 takes for minutes.
  const body = [1 << 3, 0x41, 0xff, 0xff, 0xff, 0x54, 0, 0, 51, 1];
  const frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 200, 5 | (body.length << 3), 0, 0, ...body];
  const { text, ending } = decodeZstd(Uint8Array.from(frame), 16 << 20);
  expect(ending).toBe("broken");
  expect(text.length).toBeLessThan(1 << 18);
});
