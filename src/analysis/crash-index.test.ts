import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { CrashIndex } from "./crash-index.js";
import { CrashReader } from "./crash-reader.js";
import { findCrashes } from "./crashes.js";
import { findRecords, readHeader } from "./index.js";

function oneCrash(): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-index-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  crash(folder, 1);
  return folder;
}

function crash(folder: string, id: number): void {
  const text = `Panic#1 Part1 oldest-first last\n<0>Kernel panic - not syncing: bug ${"abc"[id - 1]}\n`;
  writeFileSync(join(folder, `dmesg-${id}`), text);
}

const newReader = () => new CrashReader(() => undefined);

const crashesOf = (reader: CrashReader, folder: string) =>
  findCrashes(findRecords(folder).map((record) => reader.headed(record)));

const titlesOf = (reader: CrashReader, folder: string) =>
  crashesOf(reader, folder).map((one) => reader.facts(one).title);

test("what was told while a record couldn't be read isn't kept", () => {
  const folder = oneCrash();
  const reader = newReader();
  const found = crashesOf(reader, folder);
  renameSync(join(folder, "dmesg-1"), join(folder, "away"));
  expect(found.map((one) => reader.facts(one).title)).toEqual(["Panic"]);
  reader.save();
  renameSync(join(folder, "away"), join(folder, "dmesg-1"));
  expect(titlesOf(newReader(), folder)).toEqual(["kernel panic: bug a"]);
});

test("what nobody can decompress isn't tried again: a guest can send many", () => {
  const folder = oneCrash();
  writeFileSync(join(folder, "dmesg-2.enc.z"), "garbage");
  const read: string[] = [];
  const headers = () => {
    const index = new CrashIndex(folder);
    const found = findRecords(folder).map((one) =>
      index.headed(one, (record) => {
        read.push(record.name);
        return readHeader(record);
      }),
    );
    index.save();
    return found.map(({ header }) => header?.reason);
  };
  expect(headers()).toEqual(["Panic", undefined]);
  expect(headers()).toEqual(["Panic", undefined]);
  expect(read).toEqual(["dmesg-1", "dmesg-2.enc.z"]);
});

test("a reader that goes on forgets what is gone, and reads nothing twice", () => {
  const folder = oneCrash();
  const reader = newReader();
  expect(titlesOf(reader, folder)).toEqual(["kernel panic: bug a"]);
  reader.save();
  crash(folder, 2);
  titlesOf(reader, folder);
  reader.save();
  const both = readFileSync(join(folder, ".index"), "utf8");
  expect(both.match(/"title":"[^"]*/g)).toHaveLength(2);
  rmSync(join(folder, "dmesg-1"));
  crash(folder, 3);
  expect(titlesOf(reader, folder)).toEqual(["kernel panic: bug b", "kernel panic: bug c"]);
  reader.save();
  const later = readFileSync(join(folder, ".index"), "utf8");
  expect(later.match(/panic: bug ./g)).toEqual(["panic: bug b", "panic: bug c"]);
});

test("long work is kept before its end, with what was known and wasn't asked for yet", () => {
  const folder = oneCrash();
  const names = () =>
    readFileSync(join(folder, ".index"), "utf8")
      .match(/"name":"dmesg-\d/g)
      ?.map((name) => name.at(-1));
  crash(folder, 2);
  const before = newReader();
  titlesOf(before, folder);
  before.save();
  crash(folder, 3);
  const [, second, third] = findRecords(folder);
  const reader = newReader();
  if (second !== undefined) reader.headed(second);
  const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 5001);
  onTestFinished(() => {
    clock.mockRestore();
  });
  if (third !== undefined) reader.headed(third);
  expect(names()).toEqual(["1", "2", "3"]);
});

test("a file that one left who was killed doesn't stand in the way for long", () => {
  const folder = oneCrash();
  const left = join(folder, ".index.new");
  const kept = () => {
    const reader = newReader();
    titlesOf(reader, folder);
    reader.save();
    return readdirSync(folder).includes(".index");
  };
  writeFileSync(left, "");
  expect(kept()).toBe(false);
  utimesSync(left, new Date(0), new Date(0));
  expect(kept()).toBe(true);
  rmSync(join(folder, ".index"));
  mkdirSync(left);
  expect(kept()).toBe(false);
});

test("a header that no record can have isn't taken from an index", () => {
  const folder = oneCrash();
  const reader = newReader();
  titlesOf(reader, folder);
  reader.save();
  const path = join(folder, ".index");
  writeFileSync(path, readFileSync(path, "utf8").replace('"Panic"', '"Panic\\u0000"'));
  expect(crashesOf(newReader(), folder).map(({ dump }) => dump.reason)).toEqual(["Panic"]);
});

test("what an index says of a dump counts only while none of its parts has changed", () => {
  const folder = oneCrash();
  const boot = "a".repeat(32);
  const part = (number: number, rest: string) => {
    const header = `Oops#1 Part${number} boot=${boot} time=1.000000000 oldest-first`;
    writeFileSync(join(folder, `dmesg-${number + 1}`), `${header}${rest}`);
  };
  const titles = () => {
    const reader = newReader();
    const found = titlesOf(reader, folder);
    reader.save();
    return found;
  };
  part(1, "\n<6>it begins\n");
  part(2, " last\n<0>Kernel panic - not syncing: bug b\n");
  expect(titles()).toEqual(["kernel panic: bug a", "kernel panic: bug b"]);
  part(2, " last\n<0>Kernel panic - not syncing: bug number c\n");
  expect(titles()).toEqual(["kernel panic: bug a", "kernel panic: bug number c"]);
  crash(folder, 1);
  utimesSync(join(folder, "dmesg-1"), new Date(), new Date(Date.now() - 60_000));
  const path = join(folder, ".index");
  writeFileSync(path, readFileSync(path, "utf8").replaceAll("bug a", "bug z"));
  expect(titles()).toEqual(["kernel panic: bug a", "kernel panic: bug number c"]);
});

test("an index of more than 64 MiB isn't read", () => {
  const folder = oneCrash();
  const path = join(folder, ".index");
  const reader = newReader();
  titlesOf(reader, folder);
  reader.save();
  const changed = readFileSync(path, "utf8").replace("bug a", "bug z").trimEnd();
  writeFileSync(path, `${changed}${" ".repeat(1 << 20)}\n`);
  expect(titlesOf(newReader(), folder)).toEqual(["kernel panic: bug z"]);
  writeFileSync(path, `${changed}${" ".repeat(64 << 20)}\n`);
  expect(titlesOf(newReader(), folder)).toEqual(["kernel panic: bug a"]);
});
