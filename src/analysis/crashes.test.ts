import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RecordEntry } from "../records/record.js";
import { factsOf, findCrashes, guestOf } from "./crashes.js";
import { readHeader } from "./decode.js";
import { findRecords } from "./find-records.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-crashes-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

const put = (name: string, contents: string | Uint8Array) => {
  writeFileSync(join(folder, name), contents);
};

const crashes = () => findCrashes(findRecords(folder).map(readHeader));

describe("a crash's text is cut short", () => {
  const part = (number: number) =>
    deflateRawSync(`Panic#1 Part${number}\n${"a line\n".repeat(99)}`);
  const raw = `Panic#1 Part1 boot=${"a".repeat(32)} time=1.000000000 oldest-first`;

  test.each<readonly [string, Readonly<Record<string, string | Uint8Array>>, boolean]>([
    [
      "where a part ends before its end",
      { "dmesg-1.enc.z": part(1), "dmesg-2.enc.z": part(2).subarray(0, -9) },
      true,
    ],
    [
      "where a part can't be decompressed",
      { "dmesg-1.enc.z": part(1), "dmesg-2.enc.z": "garbage", "dmesg-3.enc.z": part(3) },
      true,
    ],
    ["where the last part is missing", { "dmesg-1": `${raw}\na line\n` }, true],
    ["not where all is there", { "dmesg-1.enc.z": part(1), "dmesg-2.enc.z": part(2) }, false],
    ["not where the last part is there", { "dmesg-1": `${raw} last\na line\n` }, false],
  ])("%s", (_, files, cutShort) => {
    for (const [name, contents] of Object.entries(files)) put(name, contents);
    expect(crashes().map((crash) => factsOf(crash).cutShort)).toEqual([cutShort]);
  });
});

describe("what is read for a crash's facts is bounded by what is stored", () => {
  const MIB = 1 << 20;
  const panic = "Panic#1 Part1\n";
  const last = "<0>Kernel panic - not syncing: late\n";
  const titles = () => crashes().map((crash) => factsOf(crash).title);

  test("of text that was compressed to nothing, its beginning", () => {
    const filler = (bytes: number) => "<6>[    1.000000] one and the same\n".repeat(bytes / 35);
    put("dmesg-1.enc.z", deflateRawSync(`${panic}${filler(0.9 * MIB)}${last}`));
    put("dmesg-2.enc.z", deflateRawSync(`${panic}${filler(4 * MIB)}${last}`));
    expect(titles()).toEqual(["kernel panic: late", ""]);
  });

  test("of many lines that are none, the first", () => {
    put("dmesg-1", `${panic}${"\n".repeat(65_500 - panic.length)}${last}`);
    put("dmesg-2", `${panic}${"\n".repeat(65_536 - panic.length)}${last}`);
    expect(titles()).toEqual(["", "kernel panic: late"]);
  });

  test("of a file that claims to be huge, what a log may have", () => {
    put("dmesg-1", panic);
    truncateSync(join(folder, "dmesg-1"), 2 ** 40);
    expect(titles()).toEqual([""]);
  });
});

describe("a crash is called", () => {
  const log = "Panic#1 Part1\na line\n";
  const names = () => crashes().map(({ name }) => name);

  test("as its first record, but for how that is compressed", () => {
    put("dmesg-1.gz", gzipSync(log));
    put("dmesg-2.enc.z", deflateRawSync(log));
    put("dmesg-3", log);
    put("ftrace-3.gz", gzipSync(log));
    expect(names()).toEqual(["dmesg-1", "dmesg-2", "dmesg-3"]);
  });

  test("and is no copy that gzip made where a .gz of the same id holds something else", () => {
    put("dmesg-1", log);
    put("dmesg-1.gz", gzipSync("Panic#2 Part1\nanother line\n"));
    expect(names().sort()).toEqual(["dmesg-1", "dmesg-1.gz"]);
    // As long as the other: it isn't shown, but isn't removed with it either.
    put("dmesg-1.gz", gzipSync(log.replace("a", "b")));
    expect(names()).toEqual(["dmesg-1"]);
    const [crash] = crashes();
    crash?.dump.parts[0]?.source.remove(crash.dump.parts);
    expect(readdirSync(folder)).toEqual(["dmesg-1.gz"]);
  });

  test("and its guest, in an ERST file, as that: for no name as a folder that is there already", () => {
    const inFile = (file: string) => {
      const container = `/var/${file}`;
      const record = { guest: "", path: `${container}: dmesg-erst-1`, container };
      return guestOf(record as RecordEntry);
    };
    expect(["vm1.erst", "vm1", "...erst", "..erst"].map(inFile)).toEqual([
      ...["vm1", "vm1", "...erst", "..erst"],
    ]);
  });

  test("as just that record where another has its id", () => {
    put("dmesg-1", log);
    put("dmesg-1.enc.z", deflateRawSync(log));
    put("dmesg-2", log);
    expect(names().sort()).toEqual(["dmesg-1", "dmesg-1.enc.z", "dmesg-2"]);
  });
});
