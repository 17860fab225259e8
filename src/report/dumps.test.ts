import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import type { RecordHeader } from "../store/index.js";
import type { HeadedRecord } from "./decode.js";
import { groupDumps, isCutShort, joinDump } from "./dumps.js";
import { filePieces } from "./pieces.js";

const folder = mkdtempSync(joinPath(tmpdir(), "pstore-dumps-"));
let nextId = 1n;

afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Given {
  readonly guest?: string;
  readonly reason?: string;
  readonly count?: number;
  readonly part: number;
  /** Seconds. */
  readonly at?: number;
  readonly type?: "dmesg" | "ftrace";
  /** What a raw dump's header says besides. */
  readonly more?: Partial<RecordHeader>;
}

function record(given: Given): HeadedRecord {
  const {
    guest = "",
    reason = "Panic",
    count = 1,
    part,
    at = 0,
    type = "dmesg",
    more = {},
  } = given;
  const id = nextId++;
  const path = joinPath(folder, `${type}-${id}.enc.z`);
  const stored = deflateRawSync(
    `${reason}#${count} Part${part}\n${guest}${reason}${count}.${part}\n`,
  );
  writeFileSync(path, stored);
  return {
    type,
    id,
    compressed: true,
    name: `${type}-${id}`,
    path,
    guest,
    size: stored.length,
    time: new Date(at * 1000),
    erased: false,
    header: { reason, count, part, ...more },
    headerBytes: 0,
    source: { read: (_, from, to) => filePieces(path, from, to), remove: () => undefined },
  };
}

function unreadable(given: Given): HeadedRecord {
  const broken = { ...record(given), header: undefined, size: 7 };
  writeFileSync(broken.path, "garbage");
  return broken;
}

const parts = (...numbers: readonly number[]) => numbers.map((part) => record({ part }));

const summary = (records: readonly HeadedRecord[]) =>
  groupDumps(records).map(
    (dump) =>
      `${dump.guest}${dump.reason}#${dump.count}:${dump.parts.map(({ header }) => header?.part)}`,
  );

describe("which records are one dump", () => {
  test("parts that follow one another, the newest text first", () => {
    expect(summary(parts(1, 2, 3))).toEqual(["Panic#1:1,2,3"]);
  });

  test("a part that isn't higher begins another dump, as after a reboot", () => {
    expect(summary(parts(1, 2, 1, 2, 2))).toEqual(["Panic#1:1,2", "Panic#1:1,2", "Panic#1:2"]);
  });

  test("missing parts don't end a dump", () => {
    expect(summary(parts(2, 5))).toEqual(["Panic#1:2,5"]);
  });

  test("another reason or another count begins another dump, though its parts go on", () => {
    const records = [
      record({ reason: "Oops", part: 1 }),
      record({ reason: "Oops", part: 2 }),
      record({ reason: "Panic", count: 1, part: 3 }),
      record({ reason: "Panic", count: 2, part: 4 }),
    ];
    expect(summary(records)).toEqual(["Oops#1:1,2", "Panic#1:3", "Panic#2:4"]);
  });

  test("another guest's records are another dump", () => {
    const records = [
      record({ guest: "a", part: 1 }),
      record({ guest: "a", part: 2 }),
      record({ guest: "b", part: 3 }),
    ];
    expect(summary(records)).toEqual(["aPanic#1:1,2", "bPanic#1:3"]);
  });

  test("guests whose records are interleaved keep their own dumps whole", () => {
    const records = [
      record({ guest: "a", part: 1, at: 1 }),
      record({ guest: "b", part: 1, at: 2 }),
      record({ guest: "a", part: 2, at: 3 }),
      record({ guest: "b", part: 2, at: 4 }),
    ];
    expect(summary(records)).toEqual(["aPanic#1:1,2", "bPanic#1:1,2"]);
  });

  const members = (records: readonly HeadedRecord[]) =>
    groupDumps(records).map(({ reason, parts }) => [reason, ...parts.map(({ part }) => part)]);
  const given = (numbers: readonly (number | "?")[], more: Partial<Given> = {}) =>
    numbers.map((part) =>
      part === "?" ? unreadable({ part: 1, ...more }) : record({ part, ...more }),
    );

  test.each([
    [
      [1, "?", 3],
      ["Panic", 1, 2, 3],
    ],
    [
      [1, "?", "?", 4],
      ["Panic", 1, 2, 3, 4],
    ],
    [
      ["?", 2],
      ["Panic", 1, 2],
    ],
  ] as const)(
    "records that can't be read are the parts that are missing there: %j",
    (numbers, dump) => {
      const boot = { more: { boot: "a".repeat(32) } };
      expect(members(given(numbers))).toEqual([dump]);
      expect(members(given(numbers, boot))).toEqual([dump]);
    },
  );

  test("those of which it isn't known that they fit are dumps of their own, and end the one before", () => {
    const alone = ["unreadable", undefined];
    expect(members(given([1, 2, "?"]))).toEqual([["Panic", 1, 2], alone]);
    expect(members(given([1, "?", 4]))).toEqual([["Panic", 1], alone, ["Panic", 4]]);
    // As after a reboot.
    expect(members(given([1, 2, "?", 1]))).toEqual([["Panic", 1, 2], alone, ["Panic", 1]]);
    expect(members(given([1, "?", 2]))).toEqual([
      ["Panic", 1],
      ["Panic", 1, 2],
    ]);
  });

  test("another guest's or type's record that can't be read is none of a dump's parts", () => {
    const [first, , third] = parts(1, 2, 3);
    if (first === undefined || third === undefined) throw new Error("no parts");
    for (const other of [
      unreadable({ guest: "b", part: 2 }),
      unreadable({ type: "ftrace", part: 2 }),
    ]) {
      expect(summary([first, other, third])).toEqual([
        "Panic#1:1,3",
        `${other.guest}unreadable#0:`,
      ]);
    }
  });

  test("between parts of two dumps of a boot, one that is there already isn't looked for", () => {
    const boot = "a".repeat(32);
    const of = (reason: string, part: number) => record({ reason, part, more: { boot } });
    expect(
      members([
        of("Oops", 1),
        of("Oops", 3),
        of("Oops", 2),
        unreadable({ part: 1 }),
        of("Oops", 4),
      ]),
    ).toEqual([
      ["Oops", 1, 3, 2, 4],
      ["unreadable", undefined],
    ]);
  });

  test("consoles are no dumps", () => {
    expect(groupDumps([{ ...record({ part: 1 }), type: "console" }])).toEqual([]);
  });
});

describe("the order of dumps", () => {
  test("is that of time, whichever guest they are of: the last is the newest", () => {
    const records = [
      record({ guest: "a", part: 1, at: 10 }),
      record({ guest: "a", part: 1, at: 30 }),
      record({ guest: "b", part: 1, at: 20 }),
    ];
    expect(groupDumps(records).map(({ guest, time }) => [guest, time.getTime() / 1000])).toEqual([
      ["a", 10],
      ["b", 20],
      ["a", 30],
    ]);
  });

  test("is that of ids for one guest, even where the clock was set back", () => {
    const records = [
      record({ count: 1, part: 1, at: 30 }),
      record({ count: 2, part: 1, at: 10 }),
      record({ count: 3, part: 1, at: 20 }),
      record({ guest: "z", count: 9, part: 1, at: 40 }),
    ];
    expect(groupDumps(records).map(({ count }) => count)).toEqual([1, 2, 3, 9]);
  });
});

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

  test("a part that can't be decompressed is named in its place", () => {
    const [broken, ...others] = [unreadable({ part: 2 }), record({ part: 3 })];
    expect(join([record({ part: 1 }), broken, ...others])).toBe(
      `Panic1.3\n[virtio-pstore: ${broken.path} can't be decompressed: 7 bytes]\nPanic1.1\n`,
    );
  });

  test("a record that can't be decompressed is named in place of its text", () => {
    const broken = unreadable({ part: 1 });
    expect(join([broken])).toBe(`[virtio-pstore: ${broken.path} can't be decompressed: 7 bytes]\n`);
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
