import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { encodeStore, type TestStore } from "../../../test/support/erst-records.js";
import { findDamage } from "./check.js";
import { ErstError } from "./errors.js";
import { ErstFile } from "./erst-file.js";
import { expectUnused, usersOf } from "./in-use.js";

function temporaryFile(bytes?: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, "erst");
  if (bytes !== undefined) writeFileSync(path, bytes);
  return path;
}

function opened(store: TestStore | Uint8Array = {}): ErstFile {
  const path = temporaryFile(store instanceof Uint8Array ? store : encodeStore(store));
  const file = new ErstFile(path, { writable: true });
  onTestFinished(() => {
    file.close();
  });
  return file;
}

/** What a file is refused with. */
function refusal(bytes: Uint8Array): string {
  try {
    opened(bytes).header();
  } catch (error) {
    if (error instanceof ErstError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "accepted";
}

function changed(change: (bytes: Buffer) => Buffer | undefined): Buffer {
  const bytes = encodeStore({ records: [{ id: 5n }] });
  return change(bytes) ?? bytes;
}

const put16 = (offset: number, value: number) =>
  changed((bytes) => void bytes.writeUInt16LE(value, offset));
const put32 = (offset: number, value: number) =>
  changed((bytes) => void bytes.writeUInt32LE(value, offset));

describe("QEMU's ERST file: the header", () => {
  test.each([
    [65536, 8192, 8192],
    [1 << 24, 4096, 0x9000],
    [1 << 24, 1 << 20, 1 << 20],
    // Where the map needs a second slot (docs/specs/acpi_erst.rst).
    [8 << 20, 8192, 16384],
  ])("%d bytes with records of %d: the first lies at %d", (fileBytes, recordSize, offset) => {
    const path = temporaryFile();
    ErstFile.create(path, fileBytes, recordSize);
    expect(statSync(path)).toMatchObject({ size: fileBytes, mode: 0o100600 });
    expect(readFileSync(path).equals(encodeStore({ fileBytes, recordSize }))).toBe(true);
    const file = new ErstFile(path);
    expect(file.header()).toEqual({
      fileBytes,
      recordSize,
      storageOffset: offset,
      version: 0x0100,
      recordCount: 0,
      firstSlot: offset / recordSize,
      slots: fileBytes / recordSize,
    });
    expect(file.slots()).toEqual([]);
    file.close();
  });

  test.each([
    [65536, 2048, /^a record size of 2048: /],
    [65536, 12288, /^a record size of 12288: /],
    [65537, 8192, /^a size of 65537: it must be a multiple/],
    [8192, 8192, /^a size of 8192: .* no room for any$/],
    [2 ** 32, 8192, /below 4 GiB$/],
  ])("%d bytes with records of %d can't be made", (fileBytes, recordSize, message) => {
    const path = temporaryFile();
    expect(() => ErstFile.create(path, fileBytes, recordSize)).toThrow(message);
    expect(existsSync(path)).toBe(false);
  });

  test("a file that is there isn't made anew", () => {
    const path = temporaryFile(Buffer.from("mine"));
    expect(() => ErstFile.create(path, 65536, 8192)).toThrow(/EEXIST/);
    expect(readFileSync(path, "latin1")).toBe("mine");
  });

  test("zeros: QEMU hasn't made the store yet, and it has no records", () => {
    const file = opened(Buffer.alloc(65536));
    expect(file.header()).toBeUndefined();
    expect(file.slots()).toEqual([]);
  });

  test.each([
    ["nothing", Buffer.alloc(0), /^CUT offset 0: the file ends/],
    ["a header cut short", encodeStore().subarray(0, 23), /^CUT offset 23: /],
    [
      "a store cut short",
      encodeStore().subarray(0, 65535),
      /^CUT offset 65535: the file ends within a slot of 8192 bytes$/,
    ],
    [
      "a store cut short at a slot",
      put32(20, 3).subarray(0, 24576),
      /^CUT offset 24576: the file ends behind 2 slots for its 3 records$/,
    ],
    ["zeros that are no whole pages", Buffer.alloc(1000), /^NOT_ERST offset 0: /],
    ["zeros, and then something else", Buffer.alloc(65536).fill(1, 9, 10), /^NOT_ERST offset 0: /],
    ["something else", Buffer.alloc(65536, "x"), /^NOT_ERST offset 0: /],
    ["a later version", put16(16, 0x0200), /^VERSION offset 16: version 0x200; 0x100 is known$/],
    ["a reserved field", put16(18, 1), /^BAD_FIELD offset 18: /],
    ["a record size of 0", put32(8, 0), /^BAD_FIELD offset 8: /],
    ["a record size of 12288", put32(8, 12288), /^BAD_FIELD offset 8: /],
    ["records in the map", put32(12, 0), /^BAD_FIELD offset 12: /],
    ["records off the slots", put32(12, 8193), /^BAD_FIELD offset 12: /],
    ["records behind the end", put32(12, 65536 + 8192), /^BAD_FIELD offset 12: /],
  ])("%s is refused, with the offset", (_, bytes, expected) => {
    expect(refusal(bytes)).toMatch(expected);
  });
});

describe("QEMU's ERST file: slots", () => {
  const records = [{ id: 9n }, undefined, { id: 3n, body: Buffer.from("three") }, { id: 4n }];

  test("are read in the order of their ids; free ones, 0 or all ones, are passed over", () => {
    const bytes = encodeStore({ records });
    bytes.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 24 + 8 * 2);
    const file = opened(bytes);
    const slots = file.slots();
    expect(slots.map(({ id, index, offset }) => [id, index, offset])).toEqual([
      [3n, 3, 3 * 8192],
      [4n, 4, 4 * 8192],
      [9n, 1, 8192],
    ]);
    const [first] = slots;
    expect(first && file.read(first, 200, 205).toString()).toBe("three");
    const header = file.header();
    expect(header && findDamage(file, header)).toEqual([]);
  });

  test("a damaged one is told, with its offset in the file, and the others are read", () => {
    const bytes = encodeStore({ records });
    bytes.writeUInt32LE(9000, 3 * 8192 + 20);
    const file = opened(bytes);
    expect(file.slots().map(({ id, record, damage }) => [id, record?.id, damage])).toEqual([
      [3n, undefined, "offset 24596: a record length of 9000, where 128 to 8192 can be"],
      [4n, 4n, undefined],
      [9n, 9n, undefined],
    ]);
  });

  test("another record than the map says, an id that is there twice, a wrong count", () => {
    const bytes = encodeStore({ records: [{ id: 9n }, { id: 9n }, { id: 4n }] });
    bytes.writeBigUInt64LE(5n, 24 + 8 * 3);
    bytes.writeUInt32LE(2, 20);
    const file = opened(bytes);
    const header = file.header();
    expect(header && findDamage(file, header)).toEqual([
      "offset 24576: record 0x4 in the slot of 0x5",
      "slots 1 and 2 have the same id, 0x9",
      "offset 20: 2 records counted, and 3 in the map",
    ]);
  });

  test("one is cleared as the device does it: its id and the count, and nothing else", () => {
    const bytes = encodeStore({ records });
    const file = opened(bytes);
    file.clear([{ index: 3, id: 3n }]);
    expect(file.slots().map(({ id }) => id)).toEqual([4n, 9n]);
    bytes.writeBigUInt64LE(0n, 24 + 8 * 3);
    bytes.writeUInt32LE(2, 20);
    expect(readFileSync(file.path).equals(bytes)).toBe(true);
    expect(() => file.clear([{ index: 3, id: 3n }])).toThrow(/^no record 0x3 in slot 3$/);
    expect(() => file.clear([{ index: 2, id: 0n }])).toThrow(/^no record 0x0 in slot 2$/);
  });

  test("whatever the bytes, a store is read or refused", () => {
    const changes = fc.array(fc.tuple(fc.nat(250), fc.nat(255)), { maxLength: 12 });
    const records = [{ id: 1n }, { id: 2n }, { id: 3n }];
    const good = encodeStore({ fileBytes: 16384, recordSize: 4096, records });
    const file = opened(good);
    fc.assert(
      fc.property(changes, fc.constantFrom(0, 4096, 8192), (changes, base) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[base + at] = value;
        writeFileSync(file.path, bytes);
        try {
          const header = file.header();
          if (header === undefined) return;
          for (const slot of file.slots(header)) {
            expect(slot.record === undefined).toBe(slot.damage !== undefined);
          }
          findDamage(file, header);
        } catch (error) {
          expect(error).toBeInstanceOf(ErstError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("who uses a file", () => {
  test("nobody, also where it is read; then a process that has it open for writing", async () => {
    const path = temporaryFile(encodeStore());
    expect(usersOf(path)).toEqual([]);
    expectUnused(path);
    const child = spawn(
      "sh",
      ["-c", `exec 3<"${path}"; echo open; read line; exec 3<>"${path}"; echo open; read line`],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(usersOf(path)).toEqual([]);
    child.stdin.write("\n");
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(usersOf(path)).toEqual([{ pid: child.pid, command: "sh" }]);
    expect(() => expectUnused(path)).toThrow(/^process \d+ \(sh\) uses it: /);
  });

  test("a process that has it mapped, though its descriptor is closed", async () => {
    const path = temporaryFile(encodeStore());
    const script = `
      import { closeSync, openSync } from "node:fs";
      import { Mapping } from "./dist/src/os/index.js";
      const fd = openSync(process.argv[1], "r+");
      new Mapping(fd, 0n, 8192n);
      closeSync(fd);
      console.log("mapped");
      process.stdin.resume();`;
    const mapping = spawn(process.execPath, ["--input-type=module", "-e", script, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    onTestFinished(() => {
      mapping.kill("SIGKILL");
    });
    await new Promise((resolve) => mapping.stdout.once("data", resolve));
    expect(usersOf(path)).toMatchObject([{ pid: mapping.pid }]);
  });
});
