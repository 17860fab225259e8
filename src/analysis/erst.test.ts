import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { encodeCper, encodeStore, type TestStore } from "../../test/support/erst-records.js";
import { joinDump } from "../../test/support/join-dump.js";
import { SECTION_DMESG, SECTION_MCE } from "../formats/erst/guid.js";
import { decodeRecord } from "./decode.js";
import { findRecords } from "./find-records.js";
import { groupDumps } from "./group-dumps.js";

function storeFile(store: TestStore | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, "vm1");
  writeFileSync(path, store instanceof Uint8Array ? store : encodeStore(store));
  return path;
}

const part = (id: bigint, text: string) => ({ id, body: deflateRawSync(text) });
const mce = { id: 2n, sections: [{ type: SECTION_MCE, body: Buffer.from([1, 2, 3]) }] };
const plain = {
  id: 9n,
  timestamp: null,
  sections: [{ type: SECTION_DMESG, body: Buffer.from("Panic#2 Part1\nthe second\n") }],
};
const records = [
  plain,
  mce,
  part(7n, "Panic#1 Part1\nnewer\n"),
  part(8n, "Panic#1 Part2\nolder\n"),
];

test("an ERST file's records are named as pstorefs does, and joined like any others", () => {
  const path = storeFile({ records });
  const found = findRecords(path);
  expect(found.map(({ name, type, compressed }) => [name, type, compressed])).toEqual([
    ["mce-erst-2", "mce", false],
    ["dmesg-erst-7.enc.z", "dmesg", true],
    ["dmesg-erst-8.enc.z", "dmesg", true],
    ["dmesg-erst-9", "dmesg", false],
  ]);
  expect(found[1]?.time).toEqual(new Date(1_790_000_000_000));
  const dumps = groupDumps(found.map(decodeRecord));
  expect(dumps.map((dump) => joinDump(dump).toString())).toEqual([
    "older\nnewer\n",
    "the second\n",
  ]);
});

test("a machine check is the whole record, byte for byte", () => {
  const [first] = findRecords(storeFile({ records }));
  const bytes = first === undefined ? [] : [...first.source.read(first, 0, first.size)];
  expect(Buffer.concat(bytes).equals(encodeCper(mce))).toBe(true);
});

test("a damaged slot is told with its offset, and the others are found", () => {
  const bytes = encodeStore({ records });
  bytes.writeUInt32LE(0, 3 * 8192 + 20);
  const told: unknown[] = [];
  const found = findRecords(storeFile(bytes), (error) => told.push(error));
  expect(found.map(({ id }) => id)).toEqual([2n, 8n, 9n]);
  expect(String(told)).toMatch(/vm1: offset 24596: a record length of 0/);
  expect(told).toHaveLength(1);
});

test("removing a record frees its slot", () => {
  const path = storeFile({ records });
  const [first] = findRecords(path);
  first?.source.remove([first]);
  expect(findRecords(path).map(({ id }) => id)).toEqual([7n, 8n, 9n]);
  expect(readFileSync(path).readUInt32LE(20)).toBe(3);
});

test("a record that was copied out of an ERST file as a whole has its type", () => {
  const folder = join(storeFile({}), "..");
  writeFileSync(join(folder, "cper-0000000000000002"), encodeCper(mce));
  writeFileSync(join(folder, "cper-0000000000000002.0123456789abcdef"), encodeCper(mce));
  writeFileSync(join(folder, "cper-00000000000000ff"), "no record");
  const found = findRecords(folder);
  expect(found.map(({ name, type, size }) => [name, type, size])).toEqual([
    ["cper-0000000000000002", "mce", 203],
    ["cper-0000000000000002.0123456789abcdef", "mce", 203],
    ["cper-00000000000000ff", "unknown", 9],
  ]);
  expect(findRecords(join(folder, "cper-0000000000000002"))).toHaveLength(1);
});

test("two records of one id are two, and the one that is meant is removed", () => {
  const path = storeFile({
    records: [part(7n, "Panic#1 Part1\none\n"), part(7n, "Panic#2 Part1\ntwo\n")],
  });
  const found = findRecords(path);
  expect(found.map(({ name }) => name)).toEqual([
    "dmesg-erst-7.enc.z",
    "dmesg-erst-7.enc.z.slot-2",
  ]);
  const texts = groupDumps(found.map(decodeRecord)).map((dump) => joinDump(dump).toString());
  expect(texts).toEqual(["one\n", "two\n"]);
  found[1]?.source.remove([found[1]]);
  expect(groupDumps(findRecords(path).map(decodeRecord)).map(joinDump).map(String)).toEqual([
    "one\n",
  ]);
});
