import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FileCall, wrapFiles } from "../../test/support/store-files.js";
import { formatRecordName, parseRecordName } from "../records/record-name.js";
import { DirectoryReading } from "./directory-reading.js";
import { DirectoryStore } from "./directory-store.js";
import { systemFiles } from "./files.js";
import { RecordTable, type TableEntry } from "./record-table.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pstore-reading-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const put = (name: string, text = name) => {
  writeFileSync(join(directory, name), text);
};
const remove = (name: string) => {
  unlinkSync(join(directory, name));
};

describe("what is read of a directory is remembered until the directory changes", () => {
  /** A store whose directory was changed last some time ago, and how often it was read. */
  function opened(agoMs: number): { store: DirectoryStore; readings: () => number } {
    let readings = 0;
    const files = wrapFiles((call: FileCall, _args, run) => {
      if (call === "openDirectory") readings++;
      const result = run();
      if (call !== "fstat") return result;
      const { ctimeMs } = result as { ctimeMs: number };
      return Object.assign(result as object, { ctimeMs: ctimeMs - agoMs });
    });
    const store = new DirectoryStore(directory, { files });
    return { store, readings: () => readings };
  }
  const names = (store: DirectoryStore) => store.visible.records(["dmesg"]).map(formatRecordName);

  test("it is read once", () => {
    put("dmesg-1");
    const { store, readings } = opened(60_000);
    names(store);
    const before = readings();
    for (let i = 0; i < 10; i++) expect(names(store)).toEqual(["dmesg-1"]);
    expect(readings()).toBe(before);
    store.close();
  });

  test("what its owner adds and removes is seen, and what the guest does", () => {
    put("dmesg-1");
    const { store } = opened(60_000);
    expect(names(store)).toEqual(["dmesg-1"]);
    put("dmesg-2");
    expect(names(store)).toEqual(["dmesg-1", "dmesg-2"]);
    remove("dmesg-1");
    expect(names(store)).toEqual(["dmesg-2"]);
    store.write("dmesg", false, [Buffer.from("text")]);
    store.commit(() => undefined);
    expect(names(store)).toEqual(["dmesg-2", "dmesg-3"]);
    store.erase("dmesg", 2n);
    expect(names(store)).toEqual(["dmesg-3"]);
    store.close();
  });

  test("it is read again where its time is so near that it needn't tell another change", () => {
    put("dmesg-1");
    const { store, readings } = opened(0);
    const before = readings();
    for (let i = 0; i < 10; i++) names(store);
    expect(readings()).toBe(before + 10);
    store.close();
  });
});

describe("a directory is read piece by piece", () => {
  const entry = (name: string, size = name.length): TableEntry => {
    const parsed = parseRecordName(name);
    if (parsed === undefined) throw new Error(name);
    return { name: parsed, size, timeMs: 1 };
  };
  const namesOf = (table: RecordTable) =>
    table.ofType("dmesg", "console").map(({ name }) => formatRecordName(name));

  /** A table that knows a reading's directory as it was, and the reading, a piece of which each call does. */
  function begin(names: readonly string[]) {
    const table = new RecordTable();
    for (const name of names) {
      put(name);
      table.set(entry(name));
    }
    const reading = new DirectoryReading(systemFiles, directory, table);
    return { table, piece: () => reading.goOn(() => true), end: () => reading.goOn(() => false) };
  }

  const many = Array.from({ length: 50 }, (_, i) => `dmesg-${i + 1}`);

  test("it takes many pieces, and then the table has what there is", () => {
    const { table, piece } = begin(many.slice(0, 10));
    for (const name of many.slice(5)) put(name);
    for (const name of many.slice(0, 5)) remove(name);
    put("console-3", "a line");
    put("notes.txt");
    let pieces = 0;
    while (!piece()) pieces++;
    expect(pieces).toBeGreaterThan(50);
    expect(namesOf(table)).toEqual([...many.slice(5), "console-3"].sort(byId));
    expect(table.totals("dmesg").records).toBe(45);
    expect(table.totals("console")).toEqual({ records: 1, bytes: 6 });
  });

  test.each([1, 10, 30, 51, 80, 101])(
    "what the store itself does meanwhile counts, behind piece %i",
    (count) => {
      const { table, piece, end } = begin(many);
      for (let i = 0; i < count; i++) piece();
      // Removed, written, grown, and not there yet.
      for (const name of many.slice(0, 20)) {
        remove(name);
        table.delete(name);
      }
      put("dmesg-60");
      table.set(entry("dmesg-60", 8));
      table.set(entry("dmesg-40", 1000));
      table.set({ ...entry("dmesg-61"), pending: true });
      end();
      expect(namesOf(table)).toEqual([...many.slice(20), "dmesg-60", "dmesg-61"]);
      expect(table.get("dmesg-40")?.size).toBe(1000);
    },
  );

  test("two files of one record are one", () => {
    const { table, end } = begin([]);
    put("dmesg-1");
    put("dmesg-1.gz");
    end();
    expect(namesOf(table)).toHaveLength(1);
    expect(table.totals("dmesg").records).toBe(1);
  });

  test("nothing stays open where one is abandoned", () => {
    let open = 0;
    const files = {
      ...systemFiles,
      openDirectory: (path: string) => {
        open++;
        const opened = systemFiles.openDirectory(path);
        return {
          ...opened,
          close: () => {
            open--;
            opened.close();
          },
        };
      },
    };
    for (const name of many) put(name);
    const reading = new DirectoryReading(files, directory, new RecordTable());
    reading.goOn(() => true);
    expect(open).toBe(1);
    reading.abandon();
    expect(open).toBe(0);
  });
});

const byId = (a: string, b: string): number =>
  Number(a.split("-")[1]) - Number(b.split("-")[1]) || (a < b ? 1 : -1);
