import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { encodeCper, encodeStore, type TestRecord } from "../../test/support/erst-records.js";
import { ErstCopier } from "./copier.js";
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
  const open = () =>
    new ErstCopier({
      path,
      directory,
      onStored: (at) => stored.push(at.slice(directory.length + 1)),
      onDropped: () => undefined,
      onFailed: (_, error) => failed.push(error),
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
  const contents = () =>
    readdirSync(directory)
      .filter((name) => !name.startsWith("."))
      .sort();
  return { path, directory, open, copy, write, contents, stored, failed };
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

test("a damaged slot waits until it is whole", () => {
  const { path, open, stored } = setUp([part(7n, "first")]);
  const good = readFileSync(path);
  const bad = Buffer.from(good);
  bad.writeUInt32LE(0, 8192 + 20);
  writeFileSync(path, bad);
  const copier = open();
  copier.copy();
  expect(stored).toEqual([]);
  writeFileSync(path, good);
  copier.copy();
  expect(stored).toEqual(["dmesg-1.enc.z"]);
  copier.close();
});
