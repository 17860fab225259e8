import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { note, notedText } from "../records/note.js";
import type { RecordEntry } from "../records/record.js";
import { decodeRecord, readHeader, recordText } from "./decode.js";
import { findRecords } from "./find-records.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-decode-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(name: string, contents: string | Uint8Array): RecordEntry {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return found(path);
}

function found(path: string): RecordEntry {
  const [file] = findRecords(path);
  if (file === undefined) throw new Error("no record");
  return file;
}

function decode(name: string, contents: string | Uint8Array) {
  const { header, textBytes, ending } = decodeRecord(put(name, contents));
  const pieces = recordText(readHeader(found(join(folder, name))));
  const text = pieces === undefined ? undefined : Buffer.concat([...notedText(pieces)]).toString();
  if (ending === undefined) expect(textBytes).toBe(text?.length);
  return { header, text, ...(ending === undefined ? {} : { ending }) };
}

describe("what a record holds", () => {
  test.each([
    ["dmesg-1", (text: string) => Buffer.from(text)],
    ["dmesg-1.enc.z", (text: string) => deflateRawSync(text)],
    ["dmesg-1.enc.z", (text: string) => deflateSync(text)],
    ["dmesg-1.gz", (text: string) => gzipSync(text)],
    ["ftrace-1", (text: string) => Buffer.from(text)],
    ["ftrace-1.gz", (text: string) => gzipSync(text)],
  ])("%s: the first line is the header, the rest the text", (name, encode) => {
    // Of pstore's own parts several may be in one file, as put-together.test.ts says.
    const other = /^dmesg-1(?:\.gz)?$/.test(name) ? "no Panic#1 Part1" : "Panic#1 Part1";
    const long = `<4>a line\n${other}\n`.repeat(10_000);
    expect(decode(name, encode(`Oops#12 Part3\n${long}`))).toEqual({
      header: { reason: "Oops", count: 12, part: 3 },
      text: long,
    });
  });

  test("text without a header is text", () => {
    expect(decode("dmesg-1", "a line\n")).toEqual({ header: undefined, text: "a line\n" });
    expect(decode("dmesg-1", "")).toEqual({ header: undefined, text: "" });
  });

  test("a number that no part has is no header", () => {
    const text = "Panic#1 Part99999999999\nline\n";
    expect(decode("dmesg-1", text)).toEqual({ header: undefined, text });
  });

  test("a raw dump's header is found whole, and its text behind it", () => {
    const boot = "5a".repeat(16);
    const words = `boot=${boot} time=1790000000.123456789 oldest-first last`;
    const record = `Panic#1 Part2 ${words} ${"w".repeat(80)} ${"x".repeat(80)}\n<0>text\n`;
    for (const [name, stored] of [
      ["dmesg-1", record],
      ["dmesg-2.gz", gzipSync(record)],
      ["dmesg-3.enc.z", deflateRawSync(record, { level: 0 })],
    ] as const) {
      const { header, text } = decode(name, stored);
      expect(header).toMatchObject({ part: 2, boot, oldestFirst: true, last: true });
      expect(text).toBe("<0>text\n");
    }
  });

  test("what the host compressed is read likewise", () => {
    expect(decode("dmesg-1.gz", gzipSync("Oops#1 Part1\nline\n"))).toEqual({
      header: { reason: "Oops", count: 1, part: 1 },
      text: "line\n",
    });
    expect(decode("ftrace-2.gz", "garbage")).toEqual({ header: undefined, text: undefined });
    expect(decode("console-3.gz", gzipSync("Panic#1 Part1\nline\n"))).toEqual({
      header: undefined,
      text: "Panic#1 Part1\nline\n",
    });
    const cut = gzipSync("Oops#1 Part1\nline\n").subarray(0, -4);
    expect(decode("dmesg-4.gz", cut)).toMatchObject({
      header: { count: 1 },
      text: `line\n${note("the record is cut short here: the rest of its text is missing")}`,
      ending: "cut",
    });
  });

  test.each(["console-1", "pmsg-1"])("%s has no header, whatever its first line", (name) => {
    const text = "Panic#1 Part1\nline\n";
    expect(decode(name, text)).toEqual({ header: undefined, text });
  });

  test("a compressed record that can't be decompressed has no text", () => {
    for (const name of ["dmesg-1.enc.z", "dmesg-1.gz"]) {
      expect(decode(name, "garbage")).toEqual({ header: undefined, text: undefined });
    }
  });

  test("the bytes say how a record is compressed, whatever its name says", () => {
    const text = "Oops#3 Part1\n<4>a line\n";
    const read = { header: { reason: "Oops", count: 3, part: 1 }, text: "<4>a line\n" };
    expect(decode("dmesg-1", deflateRawSync(text))).toEqual(read);
    expect(decode("dmesg-2.enc.z", text)).toEqual(read);
  });

  test("of one that is damaged or cut off further on there is what stands before that", () => {
    const lines = `<4>${randomBytes(4000).toString("hex")}\n`;
    const text = `Panic#1 Part1\n${lines}`;
    const header = { reason: "Panic", count: 1, part: 1 };
    const whole = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH });
    // No block is of type 3.
    expect(decode("dmesg-1.enc.z", Buffer.concat([whole, Uint8Array.of(0x07)]))).toEqual({
      header,
      text: `${lines}${note("the record is damaged here: the rest of its text is missing")}`,
      ending: "broken",
    });
    const { text: cut } = decode("dmesg-2.enc.z", whole.subarray(0, -2000));
    const [begun = "", said] = cut?.split("\n") ?? [];
    expect(lines.startsWith(begun)).toBe(true);
    expect(begun.length).toBeGreaterThan(3000);
    expect(`${said}\n`).toBe(
      note("the record is cut short here: the rest of its text is missing").toString(),
    );
  });
});

describe("what a guest made large", () => {
  test("a record that claims to hold more than a record can: its header alone is known", () => {
    const bomb = Buffer.alloc(64 << 20);
    bomb.write("Panic#1 Part1\n");
    for (const [name, stored, hint] of [
      ["dmesg-1.enc.z", deflateRawSync(bomb), ""],
      ["dmesg-2.gz", gzipSync(bomb), "; gunzip it to see it"],
    ] as const) {
      const decoded = decodeRecord(put(name, stored));
      expect(decoded).toMatchObject({
        header: { reason: "Panic" },
        textBytes: undefined,
        ending: "too large",
      });
      expect([...(recordText(decoded) ?? [])].join()).toBe(
        note(`not shown: ${name} claims to hold more than 16 MiB${hint}`),
      );
    }
  });

  test.each([
    ["console-1", undefined, 5 * 2 ** 30],
    ["pmsg-1", undefined, 5 * 2 ** 30],
    ["ftrace-1", "Panic", 5 * 2 ** 30 - 14],
    ["dmesg-1", "Panic", 5 * 2 ** 30 - 14],
    ["dmesg-1.enc.z", "Panic", 5 * 2 ** 30 - 14],
    ["dmesg-1.gz", undefined, undefined],
  ])("%s of 5 GiB isn't read as a whole", (name, reason, textBytes) => {
    const { path } = put(name, "Panic#1 Part1\n");
    // Without blocks on the disk.
    truncateSync(path, 5 * 2 ** 30);
    const file = found(path);
    const decoded = decodeRecord(file);
    expect(decoded.textBytes).toBe(textBytes);
    const plain = file.gzip !== true;
    if (plain) expect(decoded.header?.reason).toBe(reason);
    const first = recordText(decoded)?.[Symbol.iterator]();
    const piece = first?.next().value;
    if (plain) expect(piece?.length).toBe(64 << 10);
    else expect(piece).toContain("not shown: dmesg-1.gz claims to hold more than 16 MiB");
    first?.return?.();
  });
});
