import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findCrashes } from "./crashes.js";
import { decodeRecord, readHeader } from "./decode.js";
import { dumpText, missingParts } from "./dumps.js";
import { findRecords } from "./find-records.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pstore-put-together-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function crashOf(text: string | Buffer, name = "dmesg-1") {
  writeFileSync(join(folder, name), text);
  const [record] = findRecords(folder);
  const [crash] = findCrashes(findRecords(folder).map(readHeader));
  if (record === undefined || crash === undefined) throw new Error("no crash");
  return { crash, record: decodeRecord(record) };
}

const textOf = (text: string | Buffer, name?: string): string =>
  Buffer.concat([...dumpText(crashOf(text, name).crash.dump)]).toString();

const OLD_FIRST = "Oops#1 Part3\n<4>a\nOops#1 Part2\n<4>b\nOops#1 Part1\n<4>c\n";
const NEW_FIRST = "Oops#1 Part1\n<4>c\nOops#1 Part2\n<4>b\nOops#1 Part3\n<4>a\n";

describe("parts that somebody put together in one file", () => {
  it.each([
    ["oldest first", OLD_FIRST],
    ["newest first", NEW_FIRST],
    ["in no order", "Oops#1 Part2\n<4>b\nOops#1 Part3\n<4>a\nOops#1 Part1\n<4>c\n"],
  ])("are shown oldest first, without their headers: %s", (_, text) => {
    expect(textOf(text)).toBe("<4>a\n<4>b\n<4>c\n");
  });

  it("of another system's line ends", () => {
    expect(textOf(NEW_FIRST.replaceAll("\n", "\r\n"))).toBe("<4>a\r\n<4>b\r\n<4>c\r\n");
  });

  it("also of a file that its owner compressed", () => {
    expect(textOf(gzipSync(NEW_FIRST), "dmesg-1.gz")).toBe("<4>a\n<4>b\n<4>c\n");
  });

  it("are one crash, which is that of the last dump, and none of whose parts is missing", () => {
    const { crash, record } = crashOf(`${NEW_FIRST}Panic#2 Part1\n<0>end\n`);
    expect(crash.dump).toMatchObject({ reason: "Panic", count: 2 });
    expect(missingParts(crash.dump)).toBe(0);
    expect(record.textBytes).toBe("<4>a\n<4>b\n<4>c\n<0>end\n".length);
  });

  it("of two dumps in turns, as cat * gives efi-pstore's", () => {
    const text = "Oops#1 Part1\nb\nPanic#2 Part1\nd\nOops#1 Part2\na\nPanic#2 Part2\nc\n";
    expect(textOf(text)).toBe("a\nb\nc\nd\n");
  });

  it("of two boots, which count alike", () => {
    expect(textOf("Panic#1 Part2\na\nPanic#1 Part1\nb\nPanic#1 Part1\nc\n")).toBe("a\nb\nc\n");
  });

  it("where parts are missing, it is said", () => {
    expect(textOf("Oops#1 Part4\na\nOops#1 Part2\nb\nPanic#2 Part3\nc\n")).toBe(
      [
        "a\n[virtio-pstore: part 3 is missing]\nb\n[virtio-pstore: part 1 is missing]\n",
        "c\n[virtio-pstore: parts 1 to 2 are missing]\n",
      ].join(""),
    );
  });

  it("but what our driver sent is one part, whatever the guest printed", () => {
    const header = `Panic#1 Part1 boot=${"ab".repeat(16)} time=1790000000.000000001 oldest-first last\n`;
    const log = "<4>a\nOops#1 Part2\n<4>b\n";
    expect(textOf(header + log)).toBe(log);
  });

  it("and words that only look like a header are text", () => {
    const text = "Panic#1 Part1\nx Oops#1 Part2\nOops Part 3\n Part\n";
    expect(textOf(text)).toBe(text.slice("Panic#1 Part1\n".length));
  });

  it("no text is lost or made, however often and wherever headers stand", () => {
    const header = fc
      .tuple(fc.constantFrom("Oops", "Panic"), fc.nat(2), fc.integer({ min: 1, max: 4 }))
      .map(([reason, count, part]) => `${reason}#${count} Part${part}\n`);
    const line = fc.string({ maxLength: 20 }).map((text) => `${text.replace(/[\r\n]/g, "")}\n`);
    fc.assert(
      fc.property(fc.array(fc.oneof(header, line), { maxLength: 40 }), (lines) => {
        const headers = /^(?:Oops|Panic)#\d Part\d\n$/;
        const shown = textOf(`Panic#1 Part1\n${lines.join("")}`)
          .split(/(?<=\n)/)
          .filter((one) => one !== "" && !one.startsWith("[virtio-pstore: part"));
        expect(shown.sort()).toEqual(lines.filter((one) => !headers.test(one)).sort());
      }),
      { numRuns: 50 },
    );
  });
});
