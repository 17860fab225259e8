import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Given, parts, record, unreadable } from "../../test/support/dump-records.js";
import { joinDump } from "../../test/support/join-dump.js";
import type { RecordHeader } from "../records/index.js";
import { type HeadedRecord, readHeader, unreadableLine } from "./decode.js";
import { isCutShort } from "./dumps.js";
import { findRecords } from "./find-records.js";
import { groupDumps } from "./group-dumps.js";

describe("joining", () => {
  const join = (records: readonly HeadedRecord[]) => {
    const [dump] = groupDumps(records);
    return dump === undefined ? undefined : joinDump(dump).toString();
  };

  test("part 1 holds the newest text, so it comes last", () => {
    expect(join(parts(1, 2, 3))).toBe("Panic1.3\nPanic1.2\nPanic1.1\n");
  });

  test("ten parts are joined by number, not by name", () => {
    const all = Array.from({ length: 12 }, (_, i) => i + 1);
    const text = [...all].reverse().map((part) => `Panic1.${part}\n`);
    expect(join(parts(...all))).toBe(text.join(""));
  });

  test("parts that are missing are named where they are missing", () => {
    expect(join(parts(2, 4, 7))).toBe(
      [
        "Panic1.7\n",
        "[virtio-pstore: parts 5 to 6 are missing]\n",
        "Panic1.4\n",
        "[virtio-pstore: part 3 is missing]\n",
        "Panic1.2\n",
        "[virtio-pstore: part 1 is missing]\n",
      ].join(""),
    );
  });

  test("what is said of them has lines of its own", () => {
    const folder = mkdtempSync(`${tmpdir()}/virtio-pstore-dumps-`);
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    writeFileSync(`${folder}/dmesg-1`, "Panic#1 Part1 oldest-first\na");
    writeFileSync(`${folder}/dmesg-2`, "Panic#1 Part3 oldest-first\nc");
    expect(join(findRecords(folder).map(readHeader))).toBe(
      "a\n[virtio-pstore: part 2 is missing]\n" +
        "c\n[virtio-pstore: the dump is cut short here: its last part is missing]\n",
    );
  });

  test("a part that can't be decompressed is named in its place", () => {
    const [broken, ...others] = [unreadable({ part: 2 }), record({ part: 3 })];
    expect(join([record({ part: 1 }), broken, ...others])).toBe(
      `Panic1.3\n[virtio-pstore: ${unreadableLine(broken)}]\nPanic1.1\n`,
    );
  });

  test("a record that can't be decompressed is named in place of its text", () => {
    const broken = unreadable({ part: 1 });
    expect(join([broken])).toBe(
      `[virtio-pstore: ${broken.path} can't be decompressed: 7 bytes; ` +
        "`virtio-pstore show --raw` of that file gives them]\n",
    );
  });
});

describe("raw dumps", () => {
  const [a, b] = ["a".repeat(32), "b".repeat(32)] as const;
  const raw = (part: number, more: Partial<RecordHeader> = {}, given: Partial<Given> = {}) =>
    record({ part, ...given, more: { boot: a, oldestFirst: true, ...more } });
  const last = { last: true } as const;
  const join = (records: readonly HeadedRecord[]) =>
    groupDumps(records).map((dump) => joinDump(dump).toString());
  const cut = "[virtio-pstore: the dump is cut short here: its last part is missing]\n";

  test("part 1 holds the oldest text, so it comes first", () => {
    expect(join([raw(1), raw(2), raw(3, last)])).toEqual(["Panic1.1\nPanic1.2\nPanic1.3\n"]);
  });

  test("a dump whose last part is missing says at its end that it is cut short", () => {
    const records = [raw(1), raw(2)];
    expect(join(records)).toEqual([`Panic1.1\nPanic1.2\n${cut}`]);
    expect(groupDumps(records).map(isCutShort)).toEqual([true]);
    expect(groupDumps([raw(1, last)]).map(isCutShort)).toEqual([false]);
    // Text that is newest first never tells.
    expect(groupDumps(parts(1)).map(isCutShort)).toEqual([false]);
  });

  test("parts that are missing are named where they are missing, the first ones too", () => {
    expect(join([raw(2), raw(5, last)])).toEqual([
      [
        "[virtio-pstore: part 1 is missing]\n",
        "Panic1.2\n",
        "[virtio-pstore: parts 3 to 4 are missing]\n",
        "Panic1.5\n",
      ].join(""),
    ]);
  });

  test("another boot is another dump, though reason, count and part go on", () => {
    expect(join([raw(1, { boot: a, ...last }), raw(2, { boot: b, ...last })])).toEqual([
      "Panic1.1\n",
      "[virtio-pstore: part 1 is missing]\nPanic1.2\n",
    ]);
  });

  test("two dumps whose parts are interleaved stay whole", () => {
    const oops = { reason: "Oops" };
    const records = [
      raw(1, {}, oops),
      raw(1, {}, { count: 2 }),
      raw(2, last, oops),
      raw(2, last, { count: 2 }),
    ];
    expect(join(records)).toEqual(["Oops1.1\nOops1.2\n", "Panic2.1\nPanic2.2\n"]);
  });

  test("parts are joined by number, whatever order they were stored in", () => {
    expect(join([raw(2), raw(1), raw(3, last)])).toEqual(["Panic1.1\nPanic1.2\nPanic1.3\n"]);
  });

  test("a part of the same number begins another dump, as when the driver was loaded anew", () => {
    expect(join([raw(1, last), raw(1, last)])).toEqual(["Panic1.1\n", "Panic1.1\n"]);
  });

  test("a trace is a dump beside the log's", () => {
    const trace = { type: "ftrace" } as const;
    const dumps = groupDumps([raw(1), raw(1, {}, trace), raw(2, last), raw(2, last, trace)]);
    expect(dumps.map(({ type, parts }) => [type, parts.length])).toEqual([
      ["dmesg", 2],
      ["ftrace", 2],
    ]);
  });

  test("a record of pstore's core between a raw dump's parts doesn't part them", () => {
    expect(join([raw(1), record({ part: 1 }), raw(2, last)])).toEqual([
      "Panic1.1\nPanic1.2\n",
      "Panic1.1\n",
    ]);
  });
});
