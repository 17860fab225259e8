import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { encodeCper, encodeStore, type TestRecord } from "../../../test/support/erst-records.js";
import { errno } from "../../os/index.js";
import { DEFAULT_QUOTAS } from "../../store/index.js";
import { type CopierOptions, ErstCopier } from "./copier.js";
import { HEADER } from "./cper.js";
import { ErstFile } from "./erst-file.js";
import { SECTION_DMESG, SECTION_MCE } from "./guid.js";

const part = (id: bigint, text: string): TestRecord => ({ id, body: Buffer.from(text) });
const plain = (id: bigint, text: string): TestRecord => ({
  id,
  sections: [{ type: SECTION_DMESG, body: Buffer.from(text) }],
});
const mce: TestRecord = { id: 5n, sections: [{ type: SECTION_MCE, body: Buffer.alloc(3) }] };

function setUp(records: readonly TestRecord[]) {
  const folder = mkdtempSync(join(tmpdir(), "virtio-pstore-erst-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, "erst");
  const directory = join(folder, "records");
  writeFileSync(path, encodeStore({ records }));
  const stored: string[] = [];
  const failed: unknown[] = [];
  const damaged: string[] = [];
  const open = (limits: Partial<CopierOptions> = {}) =>
    new ErstCopier({
      path,
      directory,
      quotas: DEFAULT_QUOTAS,
      rates: {},
      minFree: { bytes: 0, share: 0 },
      onStored: (at) => stored.push(at.slice(directory.length + 1)),
      onDropped: () => undefined,
      onDamaged: (_, damage) => damaged.push(damage),
      onFailed: (_, error) => failed.push(error),
      ...limits,
    });
  /** A copier's whole life: it starts, copies and ends. */
  const copy = () => {
    const copier = open();
    copier.copy();
    copier.close();
    return stored.splice(0);
  };
  const write = (record: TestRecord) => {
    const file = new ErstFile(path, { writable: true });
    file.write(encodeCper(record));
    file.close();
  };
  /** The bytes of the first slot's record are others from now on. */
  const change = (at: number, value: number) => {
    const bytes = readFileSync(path);
    bytes.writeUInt8(value, 8192 + at);
    writeFileSync(path, bytes);
  };
  const used = () => {
    const file = new ErstFile(path);
    const ids = file.slots().map(({ id }) => id);
    file.close();
    return ids;
  };
  const contents = () =>
    readdirSync(directory)
      .filter((name) => !name.startsWith("."))
      .sort();
  return { path, directory, open, copy, write, change, used, contents, stored, failed, damaged };
}

test("parts go into the store in the order of their ids, all else is kept whole", () => {
  const { directory, copy, contents } = setUp([plain(9n, "second"), mce, part(7n, "first")]);
  expect(copy()).toEqual(["cper-0000000000000005", "dmesg-1.enc.z", "dmesg-2"]);
  expect(contents()).toEqual(["cper-0000000000000005", "dmesg-1.enc.z", "dmesg-2"]);
  expect(readFileSync(join(directory, "dmesg-1.enc.z"), "latin1")).toBe("first");
  expect(readFileSync(join(directory, "dmesg-2"), "latin1")).toBe("second");
  const whole = readFileSync(join(directory, "cper-0000000000000005"));
  expect(whole.equals(encodeCper(mce))).toBe(true);
});

test("each is copied once, also after a restart, and though its copy was removed", () => {
  const { directory, copy, write, contents } = setUp([part(7n, "first")]);
  copy();
  expect(copy()).toEqual([]);
  rmSync(join(directory, "dmesg-1.enc.z"));
  write(part(8n, "second"));
  expect(copy()).toEqual(["dmesg-2.enc.z"]);
  expect(contents()).toEqual(["dmesg-2.enc.z"]);
});

test("one that was copied and not noted, as where the process was killed, isn't copied again", () => {
  const { directory, copy, contents } = setUp([part(7n, "first"), mce]);
  copy();
  rmSync(join(directory, ".erst"));
  expect(copy()).toEqual([]);
  expect(contents()).toEqual(["cper-0000000000000005", "dmesg-1.enc.z"]);
});

test("a note that was cut off doesn't count", () => {
  const { directory, copy } = setUp([part(7n, "first"), part(8n, "second")]);
  copy();
  const notes = readFileSync(join(directory, ".erst"), "latin1");
  writeFileSync(join(directory, ".erst"), notes.slice(0, -5));
  expect(copy()).toEqual([]);
  expect(readFileSync(join(directory, ".erst"), "latin1")).toBe(notes);
});

test("the same part under another id is another record, also behind a restart", () => {
  const { open, copy, write, stored } = setUp([part(7n, "the same")]);
  copy();
  const copier = open();
  copier.copy();
  write(part(8n, "the same"));
  copier.copy();
  expect(stored).toEqual(["dmesg-2.enc.z"]);
  copier.close();
});

test("one that can't be noted is copied once, and noted when that is possible again", () => {
  const { directory, open, copy, stored, failed } = setUp([part(7n, "first"), part(8n, "second")]);
  const notes = join(directory, ".erst");
  const copier = open();
  rmSync(notes);
  mkdirSync(notes);
  for (let i = 0; i < 4; i++) copier.copy();
  expect(stored.splice(0)).toEqual(["dmesg-1.enc.z", "dmesg-2.enc.z"]);
  expect(failed).toHaveLength(2);
  expect(copier.clearable).toBe(0);
  rmdirSync(notes);
  for (let i = 0; i < 4; i++) copier.copy();
  expect(copier.clearable).toBe(2);
  copier.close();
  expect([...stored, ...copy()]).toEqual([]);
  expect(readFileSync(notes, "latin1").split("\n")).toHaveLength(3);
});

test("a note behind one that was cut off isn't joined to it", () => {
  const { directory, open, copy, stored } = setUp([part(7n, "first"), part(8n, "second")]);
  const notes = join(directory, ".erst");
  const copier = open();
  rmSync(notes);
  mkdirSync(notes);
  copier.copy();
  rmdirSync(notes);
  writeFileSync(notes, "000000");
  for (let i = 0; i < 4; i++) copier.copy();
  copier.close();
  expect(stored.splice(0)).toEqual(["dmesg-1.enc.z", "dmesg-2.enc.z"]);
  expect(readFileSync(notes, "latin1")).toMatch(/^([0-9a-f]{16} [0-9a-f]{32}\n){2}$/);
  expect(copy()).toEqual([]);
});

test("one that was copied and not noted isn't copied again where it was late at first", () => {
  const { directory, open, copy, stored } = setUp([mce, part(7n, "first")]);
  copy();
  rmSync(join(directory, ".erst"));
  let now = process.hrtime.bigint();
  vi.spyOn(process.hrtime, "bigint").mockImplementation(() => now);
  onTestFinished(() => {
    vi.restoreAllMocks();
  });
  const requests = { perSecond: 1, burst: 1 };
  const copier = open({ rates: { dmesg: { bytes: undefined, requests } } });
  expect(copier.copy()).toEqual({ late: 1, busy: 0 });
  now += 60_000_000_000n;
  expect(copier.copy()).toEqual({ late: 0, busy: 0 });
  expect(copier.clearable).toBe(2);
  expect(stored).toEqual([]);
  copier.close();
});

test("notes on records that have left the ERST file go where there are many", () => {
  const { directory, copy } = setUp([part(7n, "first")]);
  copy();
  const note = readFileSync(join(directory, ".erst"), "latin1");
  const gone = Array.from({ length: 1100 }, (_, i) => `${i}`.padStart(16, "0").concat(" gone\n"));
  writeFileSync(join(directory, ".erst"), gone.join("") + note);
  expect(copy()).toEqual([]);
  expect(readFileSync(join(directory, ".erst"), "latin1")).toBe(note);
});

test("other bytes under the same id are another record", () => {
  const { copy, write } = setUp([part(7n, "first")]);
  copy();
  write(part(7n, "other"));
  expect(copy()).toEqual(["dmesg-2.enc.z"]);
});

test("clearing frees the slots of what was copied, and of nothing else", () => {
  const { path, open, write, stored } = setUp([part(7n, "first"), mce]);
  const copier = open();
  copier.copy();
  expect(copier.clearable).toBe(2);
  write(part(8n, "second"));
  copier.clear();
  const file = new ErstFile(path);
  expect(file.slots().map(({ id }) => id)).toEqual([8n]);
  expect(file.header()?.recordCount).toBe(1);
  file.close();
  expect(copier.clearable).toBe(0);
  stored.length = 0;
  copier.copy();
  expect(stored).toEqual(["dmesg-2.enc.z"]);
  copier.close();
});

test("a damaged slot that is whole with the next look was being written", () => {
  const { path, open, stored, damaged } = setUp([part(7n, "first")]);
  const good = readFileSync(path);
  const bad = Buffer.from(good);
  bad.writeUInt32LE(0, 8192 + HEADER.recordLength);
  writeFileSync(path, bad);
  const copier = open();
  expect(copier.copy()).toEqual({ late: 0, busy: 1 });
  expect(stored).toEqual([]);
  writeFileSync(path, good);
  expect(copier.copy()).toEqual({ late: 0, busy: 0 });
  expect(stored).toEqual(["dmesg-1.enc.z"]);
  expect(damaged).toEqual([]);
  copier.close();
});

test("a slot that stays damaged is kept as it is, and so can be cleared", () => {
  const { path, directory, open, change, used, stored, damaged } = setUp([part(7n, "first")]);
  change(0, 0);
  const copier = open();
  copier.copy();
  copier.clear();
  expect(used()).toEqual([7n]);
  copier.copy();
  expect(stored).toEqual(["cper-0000000000000007"]);
  expect(damaged).toEqual(["offset 8192: the signature is 0x52455000, not 0x52455043"]);
  const record = readFileSync(path).subarray(8192, 8192 + encodeCper(part(7n, "first")).length);
  expect(readFileSync(join(directory, "cper-0000000000000007")).equals(record)).toBe(true);
  copier.clear();
  expect(used()).toEqual([]);
  copier.close();
});

test("an earlier copy isn't replaced by one of the same id, and the same bytes are there once", () => {
  const { directory, open, copy, write, stored, contents } = setUp([mce]);
  const other: TestRecord = {
    ...mce,
    sections: [{ type: SECTION_MCE, body: Buffer.from("other") }],
  };
  const copier = open();
  for (const record of [mce, other, mce, other]) {
    write(record);
    copier.copy();
  }
  copier.close();
  expect(contents()).toEqual([
    "cper-0000000000000005",
    expect.stringMatching(/^cper-0{15}5\.[0-9a-f]{16}$/),
  ]);
  expect(stored.splice(0)).toEqual(contents());
  const bytes = contents().map((name) => readFileSync(join(directory, name)));
  expect(bytes[0]?.equals(encodeCper(mce))).toBe(true);
  expect(bytes[1]?.equals(encodeCper(other))).toBe(true);
  // What was copied is seen from the copies, too.
  rmSync(join(directory, ".erst"));
  expect(copy()).toEqual([]);
});

test("other records have a quota of their own, and none is dropped", () => {
  const small = { records: 2, bytes: 2 ** 20 };
  const second = { ...mce, id: 6n };
  const { directory, open, write, contents, failed } = setUp([mce, second, { ...mce, id: 8n }]);
  const copier = open({ quotas: { ...DEFAULT_QUOTAS, dmesg: small } });
  copier.copy();
  expect(contents()).toEqual(["cper-0000000000000005", "cper-0000000000000006"]);
  expect(failed).toMatchObject([{ refusal: "QUOTA", errno: errno.ENOSPC }]);
  write(part(9n, "a dump"));
  copier.copy();
  expect(contents()).toContain("dmesg-1.enc.z");
  // It is told once, and taken when its owner made room.
  rmSync(join(directory, "cper-0000000000000005"));
  const later = performance.now() + 60_000;
  vi.spyOn(performance, "now").mockReturnValue(later);
  for (let i = 0; i < 4; i++) copier.copy();
  vi.restoreAllMocks();
  expect(contents()).toContain("cper-0000000000000008");
  expect(failed).toHaveLength(1);
  copier.close();
});

test("other records' quota has bytes, too", () => {
  const { open, contents } = setUp([mce, { ...mce, id: 6n }]);
  const copier = open({ quotas: { ...DEFAULT_QUOTAS, dmesg: { records: 9, bytes: 300 } } });
  copier.copy();
  expect(contents()).toEqual(["cper-0000000000000005"]);
  copier.close();
});

test("a file system is left as much free space as is asked for", () => {
  const { open, contents, used, failed } = setUp([mce, part(7n, "first")]);
  const copier = open({ minFree: { bytes: Number.MAX_SAFE_INTEGER, share: 1 } });
  for (let i = 0; i < 5; i++) copier.copy();
  expect(contents()).toEqual([]);
  expect(failed).toMatchObject([{ refusal: "FREE_SPACE" }, { refusal: "FREE_SPACE" }]);
  copier.clear();
  expect(used()).toEqual([5n, 7n]);
  copier.close();
});

test("what exceeds the rate limit waits in its slot", () => {
  const { open, write, contents, used, failed } = setUp([part(7n, "first"), part(8n, "second")]);
  const requests = { perSecond: 1e-9, burst: 3 };
  const copier = open({ rates: { dmesg: { bytes: undefined, requests } } });
  copier.copy();
  write(part(9n, "third"));
  write(part(10n, "fourth"));
  expect(copier.copy()).toEqual({ late: 1, busy: 0 });
  expect(contents()).toEqual(["dmesg-1.enc.z", "dmesg-2.enc.z", "dmesg-3.enc.z"]);
  copier.clear();
  expect(used()).toEqual([10n]);
  expect(failed).toEqual([]);
  copier.close();
});

test("other bytes behind the same header are found in time, and never cleared uncopied", () => {
  const { directory, open, change, used, stored } = setUp([plain(7n, "first")]);
  const copier = open();
  copier.copy();
  const length = encodeCper(plain(7n, "first")).length;
  change(length - 1, 0x21);
  copier.clear();
  expect(used()).toEqual([7n]);
  copier.copy();
  change(length - 1, 0x3f);
  copier.copy();
  expect(stored).toEqual(["dmesg-1", "dmesg-2", "dmesg-3"]);
  expect(readFileSync(join(directory, "dmesg-3"), "latin1")).toBe("firs?");
  copier.close();
});
