import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { errno } from "../native/index.js";
import { type Commit, type CommitResult, commit } from "./commit.js";
import { DirectoryStore, type StoreOptions } from "./directory-store.js";
import { DEFAULT_ROOMS } from "./rooms.js";
import { readStreamIndex } from "./stream-index.js";

let directory = "";
let stores: DirectoryStore[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pstore-streams-"));
});

afterEach(() => {
  for (const store of stores) store.close();
  stores = [];
  rmSync(directory, { recursive: true });
});

function open(options: StoreOptions = {}): DirectoryStore {
  const store = new DirectoryStore(directory, options);
  stores.push(store);
  return store;
}

const [bootA, bootB] = ["a".repeat(32), "b".repeat(32)] as const;
const at = (name: string) => join(directory, name);
const contents = (name: string) => readFileSync(at(name), "utf8");
const line = (text: string) => [Buffer.from(`${text}\n`)];
const recordNames = () =>
  readdirSync(directory)
    .filter((name) => !name.startsWith("."))
    .sort();

describe("boots", () => {
  test("a file that its owner removed: what comes then goes into another", () => {
    const store = open();
    store.beginBoot(bootA);
    store.append("console", line("one"));
    unlinkSync(at("console-1"));
    store.append("console", line("two"));
    expect(recordNames()).toEqual(["console-2"]);
    store.beginBoot(bootA);
    store.append("console", line("three"));
    expect(contents("console-2")).toBe("two\nthree\n");
  });

  test("that end faster than the disk syncs are refused, until it has", () => {
    const held: (() => void)[] = [];
    const committer = {
      run: (batch: Commit, done: (result: CommitResult) => void) => {
        held.push(() => {
          done(commit(batch));
        });
      },
    };
    const store = open({ committer });
    const boot = () => {
      store.beginBoot(bootA);
      store.append("console", line("x"));
    };
    for (let i = 0; i < 4; i++) boot();
    store.endBoot();
    expect(boot).toThrow(expect.objectContaining({ errno: errno.EAGAIN }));
    for (const run of held.splice(0)) run();
    boot();
    expect(contents("console-1")).toBe("x\n".repeat(5));
    store.close();
    for (const run of held.splice(0)) run();
  });

  test("a line of .streams that a crash cut off doesn't hide the next", () => {
    writeFileSync(at(".streams"), "0123");
    for (const text of ["one", "two"]) {
      const store = open();
      store.beginBoot(bootA);
      store.append("console", line(text));
      store.close();
    }
    expect(recordNames()).toEqual(["console-1"]);
  });

  test("the same id goes on with its streams after another boot, and after a restart", () => {
    const store = open();
    for (const [boot, text] of [
      [bootA, "one"],
      [bootB, "other"],
      [bootA, "two"],
    ] as const) {
      store.beginBoot(boot);
      store.append("console", line(text));
    }
    store.close();
    const again = open();
    again.beginBoot(bootA);
    again.append("console", line("three"));
    expect(contents("console-1")).toBe("one\ntwo\nthree\n");
    expect(contents("console-2")).toBe("other\n");
    expect(statSync(at(".streams")).mode & 0o777).toBe(0o600);
  });

  test("without an id nothing is remembered", () => {
    const store = open();
    store.beginBoot();
    store.append("console", line("one"));
    expect(readdirSync(directory)).not.toContain(".streams");
  });

  test("a stream that the guest erased, or its owner moved away, isn't gone on with", () => {
    const store = open();
    for (const type of ["console", "pmsg"] as const) {
      store.beginBoot(bootA);
      store.append(type, line("one"));
    }
    store.beginBoot(bootB);
    expect(store.erase("console", 1n)).toBe(true);
    unlinkSync(at("pmsg-2"));
    store.beginBoot(bootA);
    for (const type of ["console", "pmsg"] as const) store.append(type, line("two"));
    expect(recordNames()).toEqual(["console-1", "console-3", "pmsg-4"]);
    expect(contents("console-1")).toBe("one\n");
    expect(contents("console-3")).toBe("two\n");
  });
});

describe(".streams", () => {
  test("a line that a crash cut off, and lines whose files are gone, are dropped at the start", () => {
    const store = open();
    for (const boot of [bootA, bootB]) {
      store.beginBoot(boot);
      store.append("console", line(boot));
    }
    store.close();
    unlinkSync(at("console-1"));
    appendFileSync(at(".streams"), `${bootA} cons`);
    open().close();
    expect(contents(".streams")).toBe(`${bootB} console-2\n`);
    expect(readStreamIndex(directory)).toEqual([
      { boot: bootB, name: { type: "console", id: 2n, compressed: false } },
    ]);
  });

  test("what is no line of it means nothing", () => {
    appendFileSync(at(".streams"), `nonsense\n${bootA} dmesg-1\n${bootA} ../console-1\n\n`);
    expect(readStreamIndex(directory)).toEqual([]);
    const store = open();
    store.beginBoot(bootA);
    store.append("console", line("one"));
    expect(recordNames()).toEqual(["console-1"]);
  });
});

describe("rooms", () => {
  const rooms = {
    ...DEFAULT_ROOMS,
    dmesg: { records: 2, bytes: 10, recordBytes: 10 },
    console: { records: 2, bytes: 20, recordBytes: 12 },
  };
  const full = expect.objectContaining({ errno: errno.ENOSPC });
  const write = (store: DirectoryStore, bytes: number) => {
    store.write("dmesg", false, [Buffer.alloc(bytes, "x")]);
    store.commit(({ writes }) => {
      expect(writes).toEqual([0]);
    });
  };

  test("bound the number and the bytes of records, also those of former runs", () => {
    const store = open({ rooms });
    write(store, 4);
    expect(() => write(store, 7)).toThrow(full);
    write(store, 6);
    store.close();
    const again = open({ rooms });
    expect(() => write(again, 1)).toThrow(full);
    again.write("ftrace", false, [Buffer.alloc(100)]);
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2"]);
  });

  test("count what isn't committed yet", () => {
    const store = open({ rooms });
    store.write("dmesg", false, [Buffer.alloc(1)]);
    store.write("dmesg", false, [Buffer.alloc(1)]);
    expect(() => store.write("dmesg", false, [Buffer.alloc(1)])).toThrow(full);
  });

  test("are there again when the guest's erasing removes files, or their owner does", () => {
    const store = open({ rooms, onErase: "remove" });
    write(store, 10);
    expect(store.erase("dmesg", 1n)).toBe(true);
    write(store, 10);
    unlinkSync(at("dmesg-2"));
    store.records(["dmesg"]);
    write(store, 10);
    expect(recordNames()).toEqual(["dmesg-3"]);
  });

  test("bound a stream and all streams of a type; what doesn't fit is left out whole", () => {
    const store = open({ rooms });
    store.beginBoot();
    store.append("console", [Buffer.alloc(12, "a")]);
    expect(() => store.append("console", [Buffer.alloc(1)])).toThrow(full);
    store.beginBoot();
    store.append("console", [Buffer.alloc(8, "b")]);
    expect(() => store.append("console", [Buffer.alloc(1)])).toThrow(full);
    store.beginBoot();
    expect(() => store.append("console", [Buffer.alloc(1)])).toThrow(full);
    expect(recordNames()).toEqual(["console-1", "console-2"]);
    expect(contents("console-2")).toBe("bbbbbbbb");
  });
});
