import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { errno } from "../os/index.js";
import { type Commit, type CommitResult, commit } from "./commit.js";
import { DirectoryStore } from "./directory-store.js";
import { StoreError } from "./store-error.js";
import type { BatchResult, StoredRecord, StoreOptions } from "./store-options.js";

let directory = "";
let stores: DirectoryStore[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pstore-store-"));
});

afterEach(() => {
  for (const store of stores) store.close();
  stores = [];
  rmSync(directory, { recursive: true, force: true });
});

function open(options: StoreOptions = {}, path = directory): DirectoryStore {
  const store = new DirectoryStore(path, options);
  stores.push(store);
  return store;
}

const at = (name: string) => join(directory, name);
const names = () => readdirSync(directory).sort();
const recordNames = () => names().filter((name) => !name.startsWith("."));
const shown = (store: DirectoryStore) =>
  store.visible.records(["dmesg", "console"]).map(({ type, id }) => `${type}-${id}`);

/** Writes and commits; each write's errno. */
function write(store: DirectoryStore, ...texts: readonly string[]): readonly number[] {
  for (const text of texts) store.write("dmesg", false, [Buffer.from(text)]);
  let result: BatchResult | undefined;
  store.commit((done) => {
    result = done;
  });
  if (result === undefined) throw new Error("the commit isn't done");
  expect(result.rest).toBe(0);
  return result.writes;
}

function erase(store: DirectoryStore, id: bigint): boolean {
  const known = store.erase("dmesg", id);
  store.commit(({ rest }) => {
    expect(rest).toBe(0);
  });
  return known;
}

describe("ids never repeat", () => {
  test("across restarts", () => {
    for (let i = 1; i <= 3; i++) {
      const store = open();
      write(store, `${i}`);
      store.close();
    }
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2", "dmesg-3"]);
  });

  test("where the newest record was removed by hand before a restart", () => {
    const store = open();
    write(store, "1", "2");
    store.close();
    unlinkSync(at("dmesg-2"));
    write(open(), "3");
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-3"]);
  });

  test("where every record was removed by hand, with or without a restart", () => {
    const store = open();
    write(store, "1", "2");
    for (const name of recordNames()) unlinkSync(at(name));
    expect(shown(store)).toEqual([]);
    write(store, "3");
    store.close();
    unlinkSync(at("dmesg-3"));
    write(open(), "4");
    expect(recordNames()).toEqual(["dmesg-4"]);
  });

  test.each(["keep", "remove"] as const)("where the newest was erased (%s)", (onErase) => {
    const store = open({ onErase });
    write(store, "1", "2");
    expect(erase(store, 2n)).toBe(true);
    write(store, "3");
    expect(erase(store, 3n)).toBe(true);
    store.close();
    const again = open({ onErase });
    write(again, "4");
    expect(shown(again)).toEqual(["dmesg-1", "dmesg-4"]);
  });

  test("where only .erased is left to tell which were given", () => {
    const store = open();
    write(store, "1", "2", "3");
    expect(erase(store, 3n)).toBe(true);
    store.close();
    for (const name of names()) if (name !== ".erased") unlinkSync(at(name));
    const again = open();
    write(again, "new");
    expect(shown(again)).toEqual(["dmesg-4"]);
  });

  test("where a process was killed with a record in its file: .next-N holds nothing that was acknowledged", () => {
    const store = open();
    write(store, "1");
    // Staged, never committed: what a crash leaves.
    store.write("dmesg", false, [Buffer.from("2")]);
    store.close();
    expect(names()).toEqual([".next-2", ".next-3", "dmesg-1"]);
    const again = open();
    expect(names()).toEqual([".next-3", "dmesg-1"]);
    write(again, "3");
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-3"]);
    expect(readFileSync(at("dmesg-3"), "utf8")).toBe("3");
  });

  test("where several .next-N were left behind: the highest counts, what was in it doesn't", () => {
    for (const id of [3, 12, 7]) writeFileSync(at(`.next-${id}`), "left behind");
    writeFileSync(at("dmesg-5"), "5");
    const store = open();
    expect(names()).toEqual([".next-12", "dmesg-5"]);
    write(store, "12");
    expect(readFileSync(at("dmesg-12"), "utf8")).toBe("12");
    expect(shown(store)).toEqual(["dmesg-5", "dmesg-12"]);
  });

  test("where records are there and .next-N is lower", () => {
    writeFileSync(at(".next-3"), "");
    writeFileSync(at("console-8"), "8");
    write(open(), "9");
    expect(recordNames()).toEqual(["console-8", "dmesg-9"]);
  });

  test("files whose names only look like .next-N are left alone", () => {
    const others = [".next-", ".next-0", ".next-x", ".next-01", ".next-5.bak"];
    for (const name of others) writeFileSync(at(name), "mine");
    open();
    expect(names()).toEqual([...others, ".next-1"].sort());
  });
});

describe("what the directory's owner puts there", () => {
  test("a record with a higher id is shown, and the next one's id is higher still", () => {
    const store = open();
    write(store, "1");
    writeFileSync(at("dmesg-40.enc.z"), "by hand");
    expect(shown(store)).toEqual(["dmesg-1", "dmesg-40"]);
    write(store, "41");
    expect(shown(store)).toEqual(["dmesg-1", "dmesg-40", "dmesg-41"]);
    expect(names().filter((name) => name.startsWith(".next"))).toEqual([".next-42"]);
  });

  test("a record with exactly the id that comes next isn't overwritten, and nothing is lost", () => {
    const store = open();
    write(store, "1");
    writeFileSync(at("dmesg-2"), "by hand");
    expect(write(store, "new", "newer", "newest")).toEqual([0, 0, 0]);
    expect(readFileSync(at("dmesg-2"), "utf8")).toBe("by hand");
    const texts = recordNames().map((name) => readFileSync(at(name), "utf8"));
    expect(texts.sort()).toEqual(["1", "by hand", "new", "newer", "newest"]);
    expect(shown(store)).toHaveLength(5);
    // From then on ids are free again: nothing has to be stored twice.
    const before = recordNames();
    expect(write(store, "later")).toEqual([0]);
    const [later] = recordNames().filter((name) => !before.includes(name));
    expect(later).toBe("dmesg-6");
    expect(names().filter((name) => name.startsWith(".next"))).toEqual([".next-7"]);
  });

  test("an id that was given in place of one taken by hand isn't given again", () => {
    const store = open({ onErase: "remove" });
    writeFileSync(at("dmesg-1"), "by hand");
    expect(write(store, "new")).toEqual([0]);
    const [newest] = shown(store).slice(-1);
    store.close();
    unlinkSync(at(newest ?? ""));
    const again = open();
    write(again, "newer");
    expect(shown(again).at(-1)).not.toBe(newest);
  });

  test("a console file with exactly the id that comes next isn't appended to", () => {
    const store = open();
    writeFileSync(at("console-1"), "by hand");
    store.append("console", [Buffer.from("line\n")]);
    expect(readFileSync(at("console-1"), "utf8")).toBe("by hand");
    expect(readFileSync(at("console-2"), "utf8")).toBe("line\n");
  });

  test("a directory with the name that comes next is no obstacle", () => {
    const store = open();
    mkdirSync(at("dmesg-1"));
    expect(write(store, "text")).toEqual([0]);
    mkdirSync(at("console-3"));
    store.append("console", [Buffer.from("line\n")]);
    expect(shown(store)).toEqual(["dmesg-2"]);
    expect(readFileSync(at("console-4"), "utf8")).toBe("line\n");
  });

  test("after the highest id of all nothing more is stored, and that is told", () => {
    writeFileSync(at("dmesg-9223372036854775806"), "by hand");
    const store = open();
    expect(write(store, "the last")).toEqual([0]);
    expect(() => write(store, "one more")).toThrow(
      expect.objectContaining({ errno: errno.EOVERFLOW }),
    );
    expect(shown(store)).toEqual(["dmesg-9223372036854775806", "dmesg-9223372036854775807"]);
  });

  test("symbolic links, FIFOs and directories with record names are never listed, read or written", () => {
    writeFileSync(at("secret"), "secret");
    symlinkSync("secret", at("dmesg-1"));
    mkdirSync(at("dmesg-2"));
    spawnSync("mkfifo", [at("dmesg-3")]);
    symlinkSync("secret", at("console-4"));
    const store = open();
    expect(shown(store)).toEqual([]);
    const dmesg = (id: bigint) => ({ type: "dmesg", id, compressed: false }) as const;
    expect(() => store.visible.read(dmesg(1n), 100)).toThrow("ELOOP");
    expect(store.visible.read(dmesg(2n), 100)).toBeUndefined();
    expect(store.visible.read(dmesg(3n), 100)).toBeUndefined();
    for (const id of [1n, 2n, 3n]) expect(store.erase("dmesg", id)).toBe(false);
    store.append("console", [Buffer.from("line\n")]);
    write(store, "text");
    expect(recordNames()).toEqual([
      "console-4",
      "console-5",
      "dmesg-1",
      "dmesg-2",
      "dmesg-3",
      "dmesg-6",
      "secret",
    ]);
    expect(readFileSync(at("secret"), "utf8")).toBe("secret");
  });

  test("a symbolic link in place of .next-N or .erased isn't followed", () => {
    const store = open();
    write(store, "1");
    store.close();
    writeFileSync(at("secret"), "secret");
    unlinkSync(at(".next-2"));
    symlinkSync("secret", at(".next-2"));
    expect(() => open()).toThrow(StoreError);
    unlinkSync(at(".next-2"));
    const again = open();
    symlinkSync("secret", at(".erased"));
    expect(() => again.erase("dmesg", 1n)).toThrow("ELOOP");
    expect(shown(again)).toEqual(["dmesg-1"]);
    expect(readFileSync(at("secret"), "utf8")).toBe("secret");
  });

  test("other files are left alone", () => {
    const others = ["README", "dmesg", "dmesg-0", "dmesg-1.txt", ".hidden"];
    for (const name of others) writeFileSync(at(name), "mine");
    const store = open();
    write(store, "text");
    expect(shown(store)).toEqual(["dmesg-1"]);
    for (const name of others) expect(readFileSync(at(name), "utf8")).toBe("mine");
  });
});

describe("files", () => {
  test("are the owner's alone, and so is a directory that is made", () => {
    const path = join(directory, "a", "b");
    const before = process.umask(0);
    try {
      const store = open({}, path);
      write(store, "text");
      store.append("console", [Buffer.from("line\n")]);
      expect(erase(store, 1n)).toBe(true);
    } finally {
      process.umask(before);
    }
    expect(statSync(join(directory, "a")).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(readdirSync(path).sort()).toEqual([".erased", ".next-3", "console-2", "dmesg-1"]);
    for (const name of readdirSync(path)) {
      expect(lstatSync(join(path, name)).mode & 0o777).toBe(0o600);
    }
  });

  test("hold data that comes in many pieces, more than one writev(2) takes", () => {
    const pieces = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(i % 7, `${i}`));
    const store = open();
    store.write("dmesg", false, pieces);
    store.commit(() => undefined);
    expect(readFileSync(at("dmesg-1"))).toEqual(Buffer.concat(pieces));
  });

  test("are told when they are stored", () => {
    const told: StoredRecord[] = [];
    const store = open({ onStored: (record) => told.push(record) });
    store.write("dmesg", true, [Buffer.from("abc"), Buffer.from("de")]);
    expect(told).toEqual([]);
    store.commit(() => undefined);
    expect(told).toEqual([
      { type: "dmesg", id: 1n, compressed: true, size: 5, path: at("dmesg-1.enc.z") },
    ]);
  });

  test("are told when the guest has its answer, which nobody's listening delays", () => {
    const order: string[] = [];
    const store = open({ onStored: ({ path }) => order.push(path) });
    store.write("dmesg", false, [Buffer.from("text")]);
    store.commit(() => order.push("answered"));
    expect(order).toEqual(["answered", at("dmesg-1")]);
  });

  test("of a record that went by another name are told by the name they have", () => {
    const told: string[] = [];
    const store = open({ onStored: ({ path }) => told.push(path) });
    writeFileSync(at("dmesg-1"), "by hand");
    write(store, "text");
    expect(told).toHaveLength(1);
    expect(readFileSync(told[0] ?? "", "utf8")).toBe("text");
  });
});

describe(".erased", () => {
  test("a last line that a crash cut off is dropped: its request was never answered", () => {
    const store = open();
    write(store, "1", "2");
    expect(erase(store, 1n)).toBe(true);
    store.close();
    appendFileSync(at(".erased"), "dmesg-2");
    const again = open();
    expect(shown(again)).toEqual(["dmesg-2"]);
    expect(erase(again, 2n)).toBe(true);
    again.close();
    expect(readFileSync(at(".erased"), "utf8")).toBe("dmesg-1\ndmesg-2\n");
    expect(shown(open())).toEqual([]);
  });

  test("a line that couldn't be written whole is taken back, and the record stays shown", () => {
    const store = open();
    write(store, "1", "2", "3");
    expect(erase(store, 1n)).toBe(true);
    const limit = (bytes: string) =>
      spawnSync("prlimit", ["--pid", `${process.pid}`, `--fsize=${bytes}:`]).status;
    // Quota for 3 more bytes: the kernel takes as many, and says so.
    expect(limit("11")).toBe(0);
    try {
      expect(() => store.erase("dmesg", 2n)).toThrow("EFBIG");
    } finally {
      limit("unlimited");
    }
    expect(readFileSync(at(".erased"), "utf8")).toBe("dmesg-1\n");
    expect(shown(store)).toEqual(["dmesg-2", "dmesg-3"]);
    expect(erase(store, 3n)).toBe(true);
    store.close();
    expect(shown(open())).toEqual(["dmesg-2"]);
  });

  test("lines that name no record are harmless", () => {
    writeFileSync(at(".erased"), "\nnonsense\ndmesg-0\n\0\n");
    writeFileSync(at("dmesg-1"), "1");
    expect(shown(open())).toEqual(["dmesg-1"]);
  });
});

describe("a directory that can't be used", () => {
  const refusal = (code: StoreError["code"]) =>
    expect.objectContaining({ name: "StoreError", code });

  test("is refused to a second store, until the first lets go", () => {
    const store = open();
    expect(() => open()).toThrow(refusal("DIRECTORY_IN_USE"));
    write(store, "still served");
    store.close();
    expect(shown(open())).toEqual(["dmesg-1"]);
  });

  test("is told: a file in its place", () => {
    writeFileSync(at("file"), "");
    expect(() => open({}, at("file"))).toThrow(refusal("DIRECTORY_UNUSABLE"));
    expect(() => open({}, join(at("file"), "below"))).toThrow(/file\/below.*ENOTDIR/);
  });

  test("is told: a link in its place, wherever that leads to", () => {
    mkdirSync(at("target"));
    for (const to of ["target", "nowhere"]) {
      symlinkSync(at(to), at(`to-${to}`));
      expect(() => open({}, at(`to-${to}`))).toThrow(/ENOTDIR.*no link/);
    }
    expect(readdirSync(at("target"))).toEqual([]);
  });

  test("is told: a place where nothing can be made", () => {
    expect(() => open({}, "/proc/self/pstore")).toThrow(refusal("DIRECTORY_UNUSABLE"));
    expect(() => open({}, "/proc/self")).toThrow(refusal("DIRECTORY_UNUSABLE"));
  });

  test("leaves no descriptor open", () => {
    const count = () => readdirSync("/proc/self/fd").length;
    const before = count();
    for (let i = 0; i < 5; i++) expect(() => open({}, "/proc/self")).toThrow(StoreError);
    expect(count()).toBe(before);
    for (let i = 0; i < 5; i++) {
      const store = open();
      write(store, "1");
      store.append("console", [Buffer.from("line\n")]);
      erase(store, 1n);
      store.close();
      store.close();
    }
    expect(count()).toBe(before);
  });
});

describe("when data is synced", () => {
  /** Timers that go off when the test says so, and a committer that tells what it is given. */
  function watched() {
    const timers: { delayMs: number; task: () => void }[] = [];
    const commits: Commit[] = [];
    const errors: number[] = [];
    let failure = 0;
    const store = open({
      after: (delayMs, task) => timers.push({ delayMs, task }),
      onSyncError: (number) => errors.push(number),
      committer: {
        run: (batch: Commit, done: (result: CommitResult) => void) => {
          commits.push(batch);
          const result = commit(batch);
          done(failure === 0 ? result : { records: result.records, rest: failure });
        },
      },
    });
    const fail = (number: number) => {
      failure = number;
    };
    return { store, timers, commits, errors, fail };
  }

  const line = [Buffer.from("line\n")];

  test("console data: once, half a second after its first line at the latest", () => {
    const { store, timers, commits } = watched();
    for (let i = 0; i < 10; i++) store.append("console", line);
    store.commit(() => undefined);
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([500]);
    expect(commits).toEqual([]);
    timers.shift()?.task();
    expect(commits).toHaveLength(1);
    expect(commits[0]?.appended).toHaveLength(1);
    // Its name too: the file is new.
    expect(commits[0]?.directory).toBeDefined();
    expect(timers).toEqual([]);
    store.append("console", line);
    expect(timers).toHaveLength(1);
    timers.shift()?.task();
    expect(commits[1]?.appended).toHaveLength(1);
    expect(commits[1]?.directory).toBeUndefined();
  });

  test("console data: with a dmesg record, and not again afterwards", () => {
    const { store, timers, commits } = watched();
    store.append("console", line);
    expect(write(store, "dump")).toEqual([0]);
    expect(commits).toHaveLength(1);
    expect(commits[0]).toMatchObject({ appended: [expect.any(Number)] });
    timers.shift()?.task();
    expect(commits).toHaveLength(1);
  });

  test("console data: when its boot or the store ends", () => {
    const { store, commits } = watched();
    store.append("console", line);
    store.beginBoot();
    expect(commits.at(-1)?.appended).toHaveLength(1);
    store.beginBoot();
    expect(commits).toHaveLength(1);
    store.append("console", line);
    store.close();
    expect(commits.at(-1)?.appended).toHaveLength(1);
  });

  test("a timer that goes off after the store was closed does nothing", () => {
    const { store, timers, commits } = watched();
    store.append("console", line);
    store.close();
    const before = commits.length;
    timers.shift()?.task();
    expect(commits).toHaveLength(before);
  });

  test("acknowledged data that can't be synced is told to the operator", () => {
    const { store, timers, errors, fail } = watched();
    store.append("console", line);
    fail(errno.EIO);
    timers.shift()?.task();
    expect(errors).toEqual([errno.EIO]);
    store.append("console", line);
    store.write("dmesg", false, [Buffer.from("dump")]);
    let writes: readonly number[] = [];
    store.commit((result) => {
      ({ writes } = result);
    });
    // The record is durable; the console's line isn't.
    expect(writes).toEqual([0]);
    expect(errors).toEqual([errno.EIO, errno.EIO]);
  });
});

describe("a commit that takes its time", () => {
  test("writes tell their place in the result", () => {
    const store = open();
    expect(store.write("dmesg", false, [Buffer.from("a")])).toBe(0);
    expect(store.write("dmesg", true, [Buffer.from("b")])).toBe(1);
    store.commit(() => undefined);
    expect(store.write("dmesg", false, [Buffer.from("c")])).toBe(0);
    store.commit(() => undefined);
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2.enc.z", "dmesg-3"]);
  });

  test("a file put there meanwhile takes nobody's place", () => {
    const held: (() => void)[] = [];
    const store = open({
      committer: {
        run: (batch, done) => {
          held.push(() => {
            done(commit(batch));
          });
        },
      },
    });
    const results: (readonly number[])[] = [];
    for (const text of ["a", "b", "c"]) {
      store.write("dmesg", false, [Buffer.from(text)]);
      store.commit(({ writes }) => {
        results.push(writes);
      });
    }
    writeFileSync(at("dmesg-2"), "by hand");
    for (const release of held.splice(0)) release();
    expect(results).toEqual([[0], [0], [0]]);
    const texts = recordNames().map((name) => `${name} ${readFileSync(at(name), "utf8")}`);
    expect(texts).toEqual(["dmesg-1 a", "dmesg-2 by hand", "dmesg-3 c", "dmesg-4 b"]);
    store.write("dmesg", false, [Buffer.from("d")]);
    store.commit(() => undefined);
    for (const release of held.splice(0)) release();
    expect(readFileSync(at("dmesg-5"), "utf8")).toBe("d");
    expect(existsSync(at(".next-6"))).toBe(true);
    store.close();
    for (const release of held.splice(0)) release();
  });
});
