import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeRecord, findRecords } from "./records.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-report-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(name: string, contents: string | Uint8Array = "Panic#1 Part1\ntext\n"): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, contents);
  return path;
}

const found = (path = folder) =>
  findRecords(path).map(({ guest, type, id }) => `${guest}/${type}-${id}`);

describe("where records are found", () => {
  test("in a directory: records only, in order of id", () => {
    for (const name of ["dmesg-10", "dmesg-2.enc.z", "console-1", ".next-11", ".erased", "notes"]) {
      put(name);
    }
    mkdirSync(join(folder, "dmesg-3"));
    symlinkSync("notes", join(folder, "dmesg-4"));
    expect(found()).toEqual(["/console-1", "/dmesg-2", "/dmesg-10"]);
  });

  test("in guests' directories, by guest", () => {
    for (const name of ["web/dmesg-1", "db/dmesg-2", "db/dmesg-1", "dmesg-9"]) put(name);
    expect(found()).toEqual(["/dmesg-9", "db/dmesg-1", "db/dmesg-2", "web/dmesg-1"]);
    expect(found(join(folder, "db"))).toEqual(["/dmesg-1", "/dmesg-2"]);
  });

  test("as a file", () => {
    const path = put("web/dmesg-1.enc.z", "12345");
    utimesSync(path, 1000, 1000);
    const [record, ...more] = findRecords(path);
    expect(more).toEqual([]);
    expect(record).toMatchObject({ path, type: "dmesg", id: 1n, compressed: true, size: 5 });
    expect(record?.time).toEqual(new Date(1_000_000));
  });

  test("with the boot that a stream belongs to", () => {
    const boot = "ab".repeat(16);
    put(".streams", `${boot} console-1\nnonsense\n${boot} console-2`);
    const path = put("console-1", "");
    put("console-2", "");
    expect(findRecords(folder).map((record) => record.boot)).toEqual([boot, undefined]);
    expect(findRecords(path)[0]?.boot).toBe(boot);
  });

  test("nowhere in a file whose name isn't a record's", () => {
    expect(findRecords(put("notes"))).toEqual([]);
  });

  test("a path that isn't there is an error that names it", () => {
    expect(() => findRecords(join(folder, "missing"))).toThrow("missing");
  });
});

describe("what a record holds", () => {
  const decode = (name: string, contents: string | Uint8Array) => {
    const [file] = findRecords(put(name, contents));
    if (file === undefined) throw new Error("no record");
    const { header, text } = decodeRecord(file);
    return { header, text: text?.toString() };
  };

  test.each([
    ["dmesg-1", (text: string) => Buffer.from(text)],
    ["dmesg-1.enc.z", (text: string) => deflateRawSync(text)],
  ])("%s: the first line is the header, the rest the text", (name, encode) => {
    expect(decode(name, encode("Oops#12 Part3\n<4>a line\nPanic#1 Part1\n"))).toEqual({
      header: { reason: "Oops", count: 12, part: 3 },
      text: "<4>a line\nPanic#1 Part1\n",
    });
  });

  test("text without a header is text", () => {
    expect(decode("console-1", "a line\n")).toEqual({ header: undefined, text: "a line\n" });
    expect(decode("dmesg-1", "")).toEqual({ header: undefined, text: "" });
  });

  test("a number that no part has is no header", () => {
    const text = "Panic#1 Part99999999999\nline\n";
    expect(decode("dmesg-1", text)).toEqual({ header: undefined, text });
  });

  test("what the host compressed is read likewise", () => {
    expect(decode("dmesg-1.gz", gzipSync("Oops#1 Part1\nline\n"))).toEqual({
      header: { reason: "Oops", count: 1, part: 1 },
      text: "line\n",
    });
    expect(decode("ftrace-2.gz", "garbage")).toEqual({ header: undefined, text: undefined });
  });

  test("a stream has no header, whatever it begins with", () => {
    const text = "Panic#1 Part1\nline\n";
    expect(decode("console-1", text)).toEqual({ header: undefined, text });
  });

  test("a compressed record that can't be decompressed has no text", () => {
    expect(decode("dmesg-1.enc.z", "garbage")).toEqual({ header: undefined, text: undefined });
  });
});
