import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { decodeLz4 } from "../../src/formats/compression/lz4.js";
import { decodeLzo } from "../../src/formats/compression/lzo.js";
import type { Decoded } from "../../src/formats/compression/output.js";
import { decodeZstd } from "../../src/formats/compression/zstd.js";
import { compileC } from "../../vm/build.js";
import { compressionLibraries } from "../../vm/compression-libraries.js";
import { ensure } from "../../vm/part.js";
import { checkout, inVm } from "../../vm/paths.js";
import { mutated, numberSequence, sampleText } from "../support/compressed.js";
import { describeGuests } from "./support.js";

const program = inVm("build", "compression-reference");

interface Request {
  /** A letter that reference.c knows. */
  readonly what: string;
  readonly data: Uint8Array;
}

/** What the libraries answer; undefined where one refuses. */
function ask(requests: readonly Request[]): (Buffer | undefined)[] {
  const input = requests.flatMap(({ what, data }) => {
    const header = Buffer.alloc(5);
    header.write(what, "latin1");
    header.writeUInt32LE(data.length, 1);
    return [header, data];
  });
  const { stdout, status } = spawnSync(program, {
    input: Buffer.concat(input),
    maxBuffer: 1 << 30,
  });
  expect(status).toBe(0);
  let at = 0;
  return requests.map(() => {
    const size = stdout.readUInt32LE(at);
    at += 4;
    if (size === 0xffff_ffff) return undefined;
    at += size;
    return stdout.subarray(at - size, at);
  });
}

const MAX_BYTES = 2 << 20;
const seeds = numberSequence(1);
const texts = [
  Buffer.alloc(0),
  Buffer.from("a"),
  Buffer.alloc(100_000, "x"),
  ...Array.from({ length: 60 }, (_, i) => sampleText(seeds, 1 + i * i * 40)),
];

/** Letters of reference.c: those that compress, and the one that decompresses. */
const formats: readonly (readonly [string, string, string, typeof decodeLz4])[] = [
  ["LZ4", "qh", "Q", decodeLz4],
  ["LZO1X", "lm", "L", decodeLzo],
  ["zstd", "zy", "Z", decodeZstd],
];

describeGuests("the decoders agree with the reference libraries", () => {
  beforeAll(async () => {
    await ensure(compressionLibraries.part);
    const { includes, archives } = compressionLibraries;
    const libraries = ["-Linclude1", "-llz4", "-llzo2", "-lzstd"];
    const source = join(checkout, "test/vm/reference/reference.c");
    await compileC(source, program, ["-Werror", ...libraries], [includes, archives]);
  });

  it.each(formats)("%s: what a library compressed", (name, compress, decompress, decode) => {
    const requests = [...compress].flatMap((what) => texts.map((data) => ({ what, data })));
    const packed = ask(requests).map((data) => data ?? Buffer.alloc(0));
    const decoded = packed.map((data) => decode(data, MAX_BYTES));
    expect(decoded.every(({ ending }) => ending === "whole")).toBe(true);
    expect(decoded.every(({ text }, i) => text.equals(requests[i]?.data ?? text))).toBe(true);

    // What a library still takes after a change is the same for us; of other bytes we may make more.
    const changes = packed.flatMap((data) => {
      const some = data.subarray(0, 2000);
      return Array.from({ length: 250 }, () => mutated(seeds, data.length > 2000 ? some : data));
    });
    const answers = ask(changes.map((data) => ({ what: decompress, data })));
    let taken = 0;
    for (const [i, data] of changes.entries()) {
      const ours: Decoded = decode(data, MAX_BYTES);
      const theirs = answers[i];
      if (theirs === undefined || data.length === 0) continue;
      // libzstd doesn't look at the end of all bit streams, as RFC 8878 wants it.
      if (name === "zstd" && ours.ending === "broken") continue;
      taken++;
      expect(ours.ending, data.toString("hex")).toBe("whole");
      expect(ours.text.equals(theirs), data.toString("hex")).toBe(true);
    }
    expect(taken).toBeGreaterThan(100);
  });
});
