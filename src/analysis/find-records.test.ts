import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findRecords } from "./find-records.js";

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

  test("under the names of pstorefs, as a guest, systemd-pstore or export have them", () => {
    const names = [
      "dmesg-efi_pstore-167951823001001",
      "dmesg-ramoops-0.enc.z",
      "dmesg-virtio-7",
      "console-virtio-9.gz",
      `dmesg-erst-${2n ** 64n - 1n}`,
    ];
    for (const name of names) put(name);
    for (const none of ["dmesg-1-2", "dmesg-efi-", "dmesg-efi-1x", "mce-erst-1", "dmesg.txt"])
      put(none);
    put("dmesg-virtio-7.gz", gzipSync("Panic#1 Part1\ntext\n"));
    expect(
      findRecords(folder).map(({ name, compressed, gzip }) => [name, compressed, gzip]),
    ).toEqual([
      [names[0], false, undefined],
      [names[1], true, undefined],
      [names[2], false, undefined],
      [names[3], false, true],
      [names[4], false, undefined],
    ]);
    expect(found(join(folder, "dmesg-virtio-7"))).toEqual(["/dmesg-7"]);
  });

  test("those of pstorefs by time, as ramoops uses its ids again", () => {
    for (const [name, at] of [
      ["dmesg-ramoops-0", 30],
      ["dmesg-ramoops-1", 10],
      ["dmesg-ramoops-2", 10],
    ] as const) {
      utimesSync(put(name), at, at);
    }
    expect(found()).toEqual(["/dmesg-1", "/dmesg-2", "/dmesg-0"]);
  });

  test("those of efi-pstore by what its ids say: two dumps of one second aren't mixed, whatever a copy's times", () => {
    const parts = ["01001", "02001", "01002", "02002"];
    for (const part of parts) put(`dmesg-efi_pstore-1700100100${part}`);
    expect(found()).toEqual(parts.map((part) => `/dmesg-1700100100${part}`));
    expect(findRecords(folder)[0]?.time).toEqual(new Date(1_700_100_100_000));
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

  test("whatever .streams is: no file, or far longer than it ever gets", () => {
    const boot = "ab".repeat(16);
    const console = put("console-7", "");
    mkdirSync(join(folder, ".streams"));
    expect(found()).toEqual(["/console-7"]);
    rmSync(join(folder, ".streams"), { recursive: true });
    put(".streams", `${`${"cd".repeat(16)} console-6\n`.repeat(200_000)}${boot} console-7\n`);
    expect(findRecords(console)[0]?.boot).toBe(boot);
  });

  test("and are read and removed by their source", () => {
    put("web/dmesg-1.enc.z", "12345");
    const [record] = findRecords(folder);
    if (record === undefined) throw new Error("no record");
    expect(record.name).toBe("dmesg-1.enc.z");
    expect(Buffer.concat([...record.source.read(record, 1, 4)]).toString()).toBe("234");
    record.source.remove([record]);
    expect(found()).toEqual([]);
    expect(() => {
      record.source.remove([record]);
    }).toThrow("ENOENT");
  });

  test("nowhere in a file whose name isn't a record's", () => {
    expect(findRecords(put("notes", "text\n"))).toEqual([]);
  });

  test("but in one that the user names, and that begins as a record does", () => {
    expect(findRecords(put("oops.log"))).toMatchObject([{ type: "dmesg", name: "oops.log" }]);
    expect(found()).toEqual([]);
  });

  test("in dmesg.txt, where that is all there is", () => {
    for (const name of ["a/dmesg.txt", "b/dmesg.txt.gz", "c/vmcore-dmesg.txt"]) put(name, "text\n");
    put("d/dmesg.txt");
    put("d/dmesg-efi_pstore-170010010001001");
    expect(findRecords(folder).map(({ guest, name }) => [guest, name])).toEqual([
      ["a", "dmesg.txt"],
      ["b", "dmesg.txt.gz"],
      ["c", "vmcore-dmesg.txt"],
      ["d", "dmesg-efi_pstore-170010010001001"],
    ]);
    expect(findRecords(join(folder, "d", "dmesg.txt"))).toHaveLength(1);
  });

  test("a path that isn't there is an error that names it", () => {
    expect(() => findRecords(join(folder, "missing"))).toThrow("missing");
  });
});

describe("what the guest erased", () => {
  test("is what its directory's .erased names, whole lines only", () => {
    for (const name of ["dmesg-1.enc.z", "dmesg-2", "console-3", "dmesg-4"]) put(name);
    put(".erased", "dmesg-1\nconsole-2\nconsole-3\ndmesg-4");
    put("web/dmesg-1");
    const erased = (path: string) =>
      findRecords(path)
        .filter((record) => record.erased)
        .map(({ path: file }) => relative(folder, file));
    expect(erased(folder)).toEqual(["dmesg-1.enc.z", "console-3"]);
    expect(erased(join(folder, "dmesg-1.enc.z"))).toEqual(["dmesg-1.enc.z"]);
    expect(erased(join(folder, "dmesg-2"))).toEqual([]);
  });
});

test("a subdirectory that can't be read is told of, and the others are read", () => {
  for (const name of ["a/dmesg-1", "lost+found/dmesg-2", "m/dmesg-2", "z/dmesg-3"]) put(name);
  for (const name of ["lost+found", "m"]) chmodSync(join(folder, name), 0);
  const skipped: unknown[] = [];
  const names = asNobody(() =>
    findRecords(folder, (error) => skipped.push(error)).map(({ guest }) => guest),
  );
  expect(names).toEqual(["a", "z"]);
  // lost+found is nobody's.
  expect(skipped).toEqual([expect.objectContaining({ code: "EACCES", path: join(folder, "m") })]);
});

test("a guest's directory whose name isn't UTF-8 is told of as such", () => {
  put("web/dmesg-1");
  mkdirSync(Buffer.concat([Buffer.from(join(folder, "bad")), Buffer.from([0xff])]));
  const skipped: unknown[] = [];
  expect(findRecords(folder, (error) => skipped.push(error))).toHaveLength(1);
  expect(skipped).toEqual([
    new Error(`${join(folder, "bad\ufffd")}: the directory's name isn't UTF-8`),
  ]);
});

test("notes that can't be read are told of, and the records are found without", () => {
  const path = put("web/dmesg-1");
  const cper = `cper-${"0".repeat(16)}`;
  const hidden = [".erased", ".streams", cper].map((name) => put(`web/${name}`, "dmesg-1\n"));
  for (const name of hidden) chmodSync(name, 0);
  for (const [at, told] of [
    [folder, hidden],
    [join(folder, "web"), hidden],
    [path, hidden.slice(0, 2)],
  ] as const) {
    const skipped: unknown[] = [];
    const records = asNobody(() => findRecords(at, (error) => skipped.push(error)));
    expect(records).toContainEqual(expect.objectContaining({ name: "dmesg-1", erased: false }));
    expect(records).toHaveLength(at === path ? 1 : 2);
    expect(skipped).toHaveLength(told.length);
    for (const of of told) {
      expect(skipped).toContainEqual(expect.objectContaining({ code: "EACCES", path: of }));
    }
  }
});

test("a link in place of .streams hides nothing", () => {
  put("dmesg-1");
  put("notes");
  symlinkSync("notes", join(folder, ".streams"));
  expect(found()).toEqual(["/dmesg-1"]);
});

test("a directory without rights is what is told of, not its notes", () => {
  put("web/dmesg-1");
  put("web/.streams");
  chmodSync(join(folder, "web"), 0);
  const skipped: unknown[] = [];
  asNobody(() => findRecords(folder, (error) => skipped.push(error)));
  expect(skipped).toEqual([expect.objectContaining({ path: join(folder, "web") })]);
});

/** Root may read everything. */
function asNobody<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work();
  chmodSync(folder, 0o755);
  process.seteuid?.(65534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}
