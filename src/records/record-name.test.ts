import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compareRecords,
  formatRecordName,
  MAX_ID,
  parseRecordName,
  type RecordName,
} from "./record-name.js";

const recordName: fc.Arbitrary<RecordName> = fc.record({
  type: fc.constantFrom("dmesg", "console", "ftrace", "pmsg"),
  id: fc.bigInt({ min: 1n, max: MAX_ID }),
  compressed: fc.boolean(),
});

describe("names", () => {
  test.each([
    ["dmesg-1", { type: "dmesg", id: 1n, compressed: false }],
    ["dmesg-1.enc.z", { type: "dmesg", id: 1n, compressed: true }],
    ["dmesg-10.enc.z", { type: "dmesg", id: 10n, compressed: true }],
    ["console-2", { type: "console", id: 2n, compressed: false }],
    ["dmesg-1.gz", { type: "dmesg", id: 1n, compressed: false, gzip: true }],
    ["ftrace-3", { type: "ftrace", id: 3n, compressed: false }],
    ["pmsg-4", { type: "pmsg", id: 4n, compressed: false }],
    ["dmesg-9223372036854775807", { type: "dmesg", id: MAX_ID, compressed: false }],
  ] as const)("%s", (name, record) => {
    expect(parseRecordName(name)).toEqual(record);
    expect(formatRecordName(record)).toBe(name);
  });

  test.each([
    ["no id", "dmesg-"],
    ["id 0", "dmesg-0"],
    ["a leading zero", "dmesg-01"],
    ["a sign", "dmesg--1"],
    ["hexadecimal", "dmesg-0x1"],
    ["an id beyond half of u64", "dmesg-9223372036854775808"],
    ["an id beyond u64", "dmesg-99999999999999999999999"],
    ["another type", "mce-1"],
    ["capitals", "DMESG-1"],
    ["another suffix", "dmesg-1.xz"],
    ["both suffixes", "dmesg-1.enc.z.gz"],
    ["half the suffix", "dmesg-1.enc"],
    ["something behind the name", "dmesg-1.enc.z~"],
    ["something before the name", ".dmesg-1"],
    ["a line break behind the name", "dmesg-1\n"],
    ["a folder before the name", "../dmesg-1"],
    ["other digits", "dmesg-\u0661"],
    ["the prepared file", ".next-1"],
    ["nothing", ""],
  ])("%s is no record's name", (_, name) => {
    expect(parseRecordName(name)).toBeUndefined();
  });

  test("every record's name is read back", () => {
    fc.assert(
      fc.property(recordName, (record) => {
        expect(parseRecordName(formatRecordName(record))).toEqual(record);
      }),
    );
  });

  test("what parses is formatted the same again: two names are never one record's", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(dmesg|console)-[0-9]{0,20}(\.enc\.z)?$/), (name) => {
        const record = parseRecordName(name);
        if (record !== undefined) expect(formatRecordName(record)).toBe(name);
      }),
      { numRuns: 500 },
    );
  });
});

test("records are ordered by id, as numbers and beyond 2^53", () => {
  const ids = [10n, 2n, (1n << 53n) + 1n, 1n << 53n, 1n];
  const records = ids.map((id): RecordName => ({ type: "dmesg", id, compressed: false }));
  expect(records.sort(compareRecords).map(({ id }) => id)).toEqual([
    1n,
    2n,
    10n,
    1n << 53n,
    (1n << 53n) + 1n,
  ]);
});
