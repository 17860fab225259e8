import { describe, expect, test } from "vitest";
import { type Given, parts, record, unreadable } from "../../test/support/dump-records.js";
import { joinDump } from "../../test/support/join-dump.js";
import type { HeadedRecord } from "./decode.js";
import { partOf } from "./dumps.js";
import { groupDumps } from "./group-dumps.js";

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

  test("what can't be read is no part that is missing where it came long before", () => {
    const records = (at: number) => [unreadable({ part: 1, at }), record({ part: 2, at: 100 })];
    expect(summary(records(95))).toEqual(["Panic#1:,2"]);
    expect(summary(records(80))).toEqual(["unreadable#0:", "Panic#1:2"]);
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

  test("another back-end's records are another dump", () => {
    const named = (part: number, name: string) => ({ ...record({ part }), name });
    const records = [
      named(1, "dmesg-efi_pstore-1"),
      named(2, "dmesg-ramoops-2"),
      named(2, "dmesg-efi_pstore-3"),
    ];
    expect(summary(records)).toEqual(["Panic#1:1,2", "Panic#1:2"]);
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
    groupDumps(records).map(({ reason, parts }) => [reason, ...parts.map(partOf)]);
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

  const alone = ["unreadable", undefined];

  test("behind the parts that are there, just after them, they are its last ones", () => {
    const panic = ["Panic", 1, 2, 3, 4];
    for (const boot of [{}, { more: { boot: "a".repeat(32) } }]) {
      expect(members(given([1, 2, "?", "?"], boot))).toEqual([panic]);
      expect(members(given([1, 2, "?", "?", 1], boot))).toEqual([panic, ["Panic", 1]]);
    }
    const later = unreadable({ part: 1, at: 3 });
    expect(members([...given([1, 2]), later])).toEqual([["Panic", 1, 2], alone]);
    const last = record({ part: 2, more: { oldestFirst: true, last: true } });
    expect(members([...given([1]), last, ...given(["?"])])).toEqual([["Panic", 1, 2], alone]);
    const many = members(given([1, ...new Array<"?">(99).fill("?")]));
    expect([many[0]?.length, many.length]).toEqual([65, 37]);
    const plain = { ...unreadable({ part: 1 }), compressed: false };
    expect(members([...given([1, 2]), plain])).toEqual([["Panic", 1, 2], alone]);
  });

  test("where another part follows that they don't fit, they are dumps of their own", () => {
    expect(members(given([1, "?", 4]))).toEqual([["Panic", 1], alone, ["Panic", 4]]);
    expect(members(given([1, "?", 2]))).toEqual([
      ["Panic", 1],
      ["Panic", 1, 2],
    ]);
  });

  test("boot and time say it all where a guest was set back, or files have the times of a copy", () => {
    const boot = "a".repeat(32);
    const of = (part: number, guestTime: string, at: number) =>
      record({ part, at, more: { boot, guestTime, oldestFirst: true } });
    expect(summary([of(2, "1.5", 0), of(1, "6.5", 5), of(2, "6.5", 5)])).toEqual([
      "Panic#1:2",
      "Panic#1:1,2",
    ]);
    const copied = [of(1, "1.5", 0), of(2, "1.5", 30), of(3, "1.5", 29)];
    expect(summary(copied)).toEqual(["Panic#1:1,2,3"]);
    const [dump] = groupDumps(copied);
    const text = dump === undefined ? "" : joinDump(dump).toString();
    expect(text.match(/\[virtio-pstore: the time of .*/g)).toEqual([
      expect.stringMatching(/ is 30 s from that of the part before it\]$/),
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

  test("what follows a last part, or comes 10 s later, is another crash, whatever it says", () => {
    for (const more of [{ boot: "a".repeat(32) }, {}]) {
      const of = (part: number, at: number, end = {}) =>
        record({ part, at, more: { ...more, oldestFirst: true, ...end } });
      const last = { last: true } as const;
      expect(summary([of(1, 0), of(2, 0, last), of(3, 0), of(4, 0, last)])).toEqual([
        "Panic#1:1,2",
        "Panic#1:3,4",
      ]);
      for (const later of [21, -1]) {
        expect(summary([of(1, 0), of(2, 10), of(3, later), of(4, later)])).toEqual([
          "Panic#1:1,2",
          "Panic#1:3,4",
        ]);
      }
    }
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
