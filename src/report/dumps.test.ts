import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import type { HeadedRecord } from "./decode.js";
import { groupDumps, joinDump } from "./dumps.js";

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
}

function record({ guest = "", reason = "Panic", count = 1, part, at = 0 }: Given): HeadedRecord {
  const id = nextId++;
  const path = joinPath(folder, `dmesg-${id}.enc.z`);
  const stored = deflateRawSync(
    `${reason}#${count} Part${part}\n${guest}${reason}${count}.${part}\n`,
  );
  writeFileSync(path, stored);
  return {
    type: "dmesg",
    id,
    compressed: true,
    path,
    guest,
    size: stored.length,
    time: new Date(at * 1000),
    erased: false,
    header: { reason, count, part },
    headerBytes: 0,
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

  test("a record that can't be read is a dump of its own, and ends the one before", () => {
    const records = [record({ part: 1 }), unreadable({ part: 2 }), record({ part: 3 })];
    expect(summary(records)).toEqual(["Panic#1:1", "unreadable#0:", "Panic#1:3"]);
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
        "[virtio-pstore: parts 6 to 5 are missing]\n",
        "Panic1.4\n",
        "[virtio-pstore: part 3 is missing]\n",
        "Panic1.2\n",
        "[virtio-pstore: part 1 is missing]\n",
      ].join(""),
    );
  });

  test("a record that can't be decompressed is named in place of its text", () => {
    const broken = unreadable({ part: 1 });
    expect(join([broken])).toBe(`[virtio-pstore: ${broken.path} can't be decompressed: 7 bytes]\n`);
  });
});
