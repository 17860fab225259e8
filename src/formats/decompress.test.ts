import { randomBytes } from "node:crypto";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseHeader } from "../records/index.js";
import { compressedHeader, decompress } from "./decompress.js";

const text = Buffer.from(`Panic#1 Part2\n${"<4>[    1.000000] a line of the log\n".repeat(200)}`);

describe("formats", () => {
  test.each([
    ["raw deflate, as since about Linux 6.6", deflateRawSync(text)],
    ["raw deflate with the kernel's small window", deflateRawSync(text, { windowBits: 12 })],
    ["zlib, as in 2016", deflateSync(text)],
    ["zlib with a small window", deflateSync(text, { windowBits: 12, level: 1 })],
  ])("%s", (_, record) => {
    expect(decompress(record)?.text.equals(text)).toBe(true);
  });

  test("a record that isn't whole is the decoder's that reads most of it", () => {
    // As LZO1X that is a copy of 24 literals; the record behind them is LZ4's.
    const header = Buffer.from("Panic#1 Part1\n");
    const lz4 = Buffer.concat([Uint8Array.of(0xe0), header]);
    expect(decompress(lz4)).toEqual({ compression: "lz4", text: header, ending: "whole" });
    const lzo = Buffer.concat([Uint8Array.of(17 + header.length), header]);
    expect(decompress(lzo)).toEqual({ compression: "lzo", text: header, ending: "cut" });
  });

  test("a record that was cut off gives what there is of it", () => {
    const whole = deflateRawSync(text.toString() + randomBytes(3000).toString("hex"));
    const decoded = decompress(whole.subarray(0, 1500));
    expect(decoded?.text.subarray(0, text.length).equals(text)).toBe(true);
    expect(decoded?.ending).toBe("cut");
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["zeros", Buffer.alloc(1000)],
    ["random bytes", randomBytes(1000)],
    ["text that isn't compressed", text],
    ["a format that isn't known", gzipSync(text)],
    ["raw deflate of something else", deflateRawSync("no record at all")],
    ["zlib of something else", deflateSync("Panic#1 Part\n")],
  ])("%s is no compressed record", (_, record) => {
    expect(decompress(record)).toBeUndefined();
  });

  test("a small record that claims to hold more than 16 MiB is told as such", () => {
    const bomb = Buffer.concat([Buffer.from("Panic#1 Part1\n"), Buffer.alloc(17 << 20)]);
    const record = deflateRawSync(bomb);
    expect(record.length).toBeLessThan(100_000);
    expect(decompress(record)?.ending).toBe("too large");
  });

  test("of a record that is cut the header is read, however much text there is", () => {
    const line = `${"[0.000000]".repeat(100)}\n`;
    const record = deflateRawSync(`Panic#1 Part1\n${line.repeat(400)}`);
    for (let bytes = 256; bytes <= record.length; bytes++) {
      expect(compressedHeader(record.subarray(0, bytes))?.reason).toBe("Panic");
    }
  });

  test("any bytes decode to a record or to nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = decompress(bytes);
        if (decoded !== undefined) expect(parseHeader(decoded.text)).toBeDefined();
      }),
      { numRuns: 300 },
    );
  });
});
