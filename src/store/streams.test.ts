import {
  appendFileSync,
  fstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { errno, SystemError } from "../os/index.js";
import { missingNote } from "../records/note.js";
import { readStreamIndex } from "../records/stream-segment.js";
import { type Commit, type CommitResult, commit } from "./commit.js";
import { DirectoryStore } from "./directory-store.js";
import { type Files, systemFiles } from "./files.js";
import { RequestJournal } from "./journal/index.js";
import { DEFAULT_QUOTAS } from "./quota.js";
import type { Dropped } from "./quota-limiter.js";
import type { StoreOptions } from "./store-options.js";

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

  test.each([bootA, undefined])(
    "that a former process began go on with their files, which may not be synced (boot %s)",
    (boot) => {
      const journal = new RequestJournal();
      const store = open();
      store.beginBoot(boot, journal);
      store.append("console", line("one"));
      const [id, inode] = [1n, statSync(at("console-1")).ino];
      expect(journal.streamFile("console")).toEqual({ id, inode });
      store.close();
      const synced: number[] = [];
      const datasync = (fd: number) => {
        synced.push(fstatSync(fd).ino);
        systemFiles.datasync(fd);
      };
      const again = open({ files: { ...systemFiles, datasync } });
      journal.setMissing("console", 5);
      again.beginBoot(boot, journal);
      // What the former process did is answered behind it.
      again.commit(() => undefined);
      expect(synced).toContain(inode);
      again.endBoot();
      expect(contents("console-1")).toBe(`one\n${missingNote(5)}`);
      expect(journal.missing("console")).toBe(0);
    },
  );

  test("whose file can't be opened begin all the same: who appends is told", () => {
    const journal = new RequestJournal();
    const store = open();
    store.beginBoot(bootA, journal);
    store.append("console", line("one"));
    store.close();
    let full = true;
    const openFile: Files["open"] = (path, ...rest) => {
      if (full && path.endsWith("console-1")) throw new SystemError("open", errno.EMFILE, path);
      return systemFiles.open(path, ...rest);
    };
    const again = open({ files: { ...systemFiles, open: openFile } });
    again.beginBoot(bootA, journal);
    expect(() => again.append("console", line("two"))).toThrow("EMFILE");
    full = false;
    again.append("console", line("three"));
    expect(contents("console-1")).toBe(`one\n${missingNote(4)}three\n`);
  });

  test("that go on with a file of before remember which it is", () => {
    const store = open();
    store.beginBoot(bootA);
    store.append("console", line("one"));
    const journal = new RequestJournal();
    store.beginBoot(bootA, journal);
    store.append("console", line("two"));
    expect(journal.streamFile("console")).toEqual({ id: 1n, inode: statSync(at("console-1")).ino });
  });

  test("without an id there is no .streams", () => {
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
    const name = { type: "console", id: 2n, compressed: false };
    expect(readStreamIndex(directory)).toEqual([{ boot: bootB, name, first: name, offset: 0 }]);
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

describe("notes on what is gone", () => {
  const lines = (name: string) => contents(name).split("\n").length - 1;

  test(".streams and .erased don't grow with every boot and erasure there was", () => {
    // Nothing here needs the disk.
    const files = { ...systemFiles, sync: () => undefined, datasync: () => undefined };
    const store = open({ onErase: "remove", files });
    for (let i = 0; i < 1500; i++) {
      store.beginBoot(i.toString(16).padStart(32, "0"));
      store.append("console", line("x"));
      store.beginBoot();
      expect(store.erase("console", BigInt(i + 1))).toBe(true);
      store.commit(() => undefined);
    }
    expect(lines(".streams")).toBeLessThan(1010);
    store.close();
    const keeping = open({ files });
    for (let i = 0; i < 1500; i++) {
      keeping.write("dmesg", false, line("x"));
      keeping.commit(() => undefined);
      const id = BigInt(1501 + i);
      expect(keeping.erase("dmesg", id)).toBe(true);
      unlinkSync(at(`dmesg-${id}`));
      if (i % 100 === 0) keeping.visible.records([]);
    }
    keeping.close();
    expect(lines(".erased")).toBeLessThan(1110);
    const [newest] = contents(".erased").trimEnd().split("\n").slice(-1);
    expect(newest).toBe("dmesg-3000");
  });

  test("a line of .streams that failed is tried again before anything else is appended", () => {
    let failing = false;
    const store = open({
      files: {
        ...systemFiles,
        open: (path, flags, mode) => {
          if (failing && path.endsWith(".streams")) throw new SystemError("open", errno.EIO, path);
          return systemFiles.open(path, flags, mode);
        },
      },
    });
    store.beginBoot(bootA);
    failing = true;
    expect(() => store.append("console", line("lost"))).toThrow("EIO");
    failing = false;
    store.append("console", line("kept"));
    expect(contents("console-1")).toBe("[virtio-pstore: 5 bytes are missing here]\nkept\n");
    expect(contents(".streams")).toBe(`${bootA} console-1\n`);
  });
});

describe("quotas", () => {
  const quotas = {
    ...DEFAULT_QUOTAS,
    dmesg: { records: 3, bytes: 12 },
    console: { records: 4, bytes: 80 },
  };
  const full = expect.objectContaining({ errno: errno.ENOSPC, refusal: "QUOTA" });
  const write = (store: DirectoryStore, bytes: number) => {
    store.write("dmesg", false, [Buffer.alloc(bytes, "x")]);
    store.commit(({ writes }) => {
      expect(writes).toEqual([0]);
    });
  };

  test("bound the number and the bytes of records, also those of former runs: the first and the newest are kept", () => {
    const store = open({ quotas });
    for (let i = 0; i < 5; i++) write(store, 4);
    const kept = (newest: string) => ["dmesg-1", expect.any(String), newest];
    expect(recordNames()).toEqual(kept("dmesg-5"));
    store.close();
    write(open({ quotas }), 4);
    expect(recordNames()).toEqual(kept("dmesg-6"));
  });

  test("count a record that had to go by another name", () => {
    const store = open({ quotas });
    writeFileSync(at("dmesg-1"), "1234");
    write(store, 4);
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2"]);
    write(store, 4);
    write(store, 4);
    expect(recordNames()).toHaveLength(3);
  });

  test("refuse at once what can't fit, and drop nothing for it", () => {
    const store = open({ quotas });
    write(store, 4);
    write(store, 4);
    expect(() => write(store, 9)).toThrow(full);
    expect(() => write(store, 100)).toThrow(full);
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2"]);
  });

  test("count what isn't committed yet, and never drop it", () => {
    const held: (() => void)[] = [];
    const store = open({
      quotas,
      committer: {
        run: (batch, done) => {
          held.push(() => {
            done(commit(batch));
          });
        },
      },
    });
    const stage = () => store.write("dmesg", false, [Buffer.alloc(1)]);
    for (let i = 0; i < 3; i++) stage();
    store.commit(() => undefined);
    expect(stage).toThrow(full);
    for (const run of held.splice(0)) run();
    stage();
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-2"]);
    store.close();
    for (const run of held.splice(0)) run();
  });

  test("are there again when the guest's erasing removes files, or their owner does", () => {
    const store = open({ quotas, onErase: "remove" });
    write(store, 10);
    expect(() => write(store, 10)).toThrow(full);
    expect(store.erase("dmesg", 1n)).toBe(true);
    write(store, 10);
    unlinkSync(at("dmesg-2"));
    store.visible.records(["dmesg"]);
    write(store, 10);
    expect(recordNames()).toEqual(["dmesg-3"]);
  });

  test("that were made smaller are kept to: what is beyond goes with the next record", () => {
    const store = open();
    for (let i = 0; i < 9; i++) write(store, 1);
    store.close();
    write(open({ quotas }), 1);
    expect(recordNames()).toEqual(["dmesg-1", "dmesg-10", expect.any(String)]);
  });

  test("what is dropped is told, whole dumps at a time", () => {
    const dropped: Dropped[] = [];
    const store = open({
      quotas: { ...quotas, dmesg: { records: 8, bytes: 10_000 } },
      onDropped: (one) => dropped.push(one),
    });
    const dump = (boot: string, part: number) => {
      const head = `Panic#1 Part${part} boot=${boot.repeat(32)} oldest-first\n`;
      store.write("dmesg", false, [Buffer.from(head)]);
      store.commit(() => undefined);
    };
    for (const boot of ["a", "b", "c"]) for (const part of [1, 2]) dump(boot, part);
    expect(dropped).toEqual([]);
    for (const part of [1, 2, 3]) dump("d", part);
    const [one, ...others] = dropped;
    expect(others).toEqual([]);
    expect([["dmesg-3", "dmesg-4"].map(at), ["dmesg-5", "dmesg-6"].map(at)]).toContainEqual(
      one?.paths,
    );
    expect(one).toMatchObject({ type: "dmesg", bytes: 2 * statSync(at("dmesg-1")).size });
  });

  test("the first dump stays, whoever says that more of it comes", () => {
    const store = open({ quotas: { ...quotas, dmesg: { records: 20, bytes: 10_000 } } });
    const dump = (line: string) => {
      store.write("dmesg", false, [Buffer.from(`${line}\n`)]);
      store.commit(() => undefined);
    };
    dump(`Panic#1 Part1 boot=${bootA} oldest-first last`);
    dump(`Panic#1 Part1 boot=${bootB} oldest-first last`);
    dump(`Panic#1 Part2 boot=${bootA} oldest-first`);
    for (let count = 2; count < 59; count++) dump(`Oops#${count} Part1 boot=${bootB}`);
    expect(recordNames()).toHaveLength(20);
    expect(recordNames()).toContain("dmesg-1");
    expect(recordNames()).toContain("dmesg-59");
  });

  test("a flood of one type leaves the others alone", () => {
    const store = open({ quotas });
    write(store, 1);
    store.beginBoot(bootA);
    for (let i = 0; i < 200; i++) store.append("console", line(`${i} is a line`));
    expect(contents("dmesg-1")).toBe("x");
    const consoles = recordNames().filter((name) => name.startsWith("console"));
    expect(consoles).toHaveLength(4);
    const bytes = consoles.reduce((sum, name) => sum + statSync(at(name)).size, 0);
    expect(bytes).toBeLessThanOrEqual(80);
  });
});

describe("a stream that goes on in another file", () => {
  /** Pieces of 10 bytes. */
  const quotas = { ...DEFAULT_QUOTAS, console: { records: 4, bytes: 80 } };
  const name = (id: bigint) => ({ type: "console", id, compressed: false }) as const;

  test.each([bootA, undefined])("says where it stands in its stream (boot %s)", (boot) => {
    const store = open({ quotas });
    store.beginBoot(boot);
    for (const text of ["12345", "6789", "and on", "on"]) store.append("console", line(text));
    expect(contents("console-1")).toBe("12345\n");
    expect(contents("console-2")).toBe("6789\n");
    expect(contents("console-3")).toBe("and on\non\n");
    const first = name(1n);
    expect(readStreamIndex(directory)).toEqual([
      ...(boot === undefined ? [] : [{ boot, name: first, first, offset: 0 }]),
      { boot, name: name(2n), first, offset: 6 },
      { boot, name: name(3n), first, offset: 11 },
    ]);
  });

  test("goes on in its last file after a restart, and none of its files is shown meanwhile", () => {
    const store = open({ quotas });
    store.beginBoot(bootA);
    for (const text of ["12345", "6789"]) store.append("console", line(text));
    expect(store.visible.records(["console"])).toEqual([]);
    expect(store.erase("console", 1n)).toBe(false);
    store.close();
    const again = open({ quotas });
    expect(again.visible.records(["console"])).toHaveLength(2);
    again.beginBoot(bootA);
    expect(again.visible.records(["console"])).toEqual([]);
    again.append("console", line("abc"));
    expect(contents("console-2")).toBe("6789\nabc\n");
    again.endBoot();
    expect(again.visible.records(["console"])).toEqual([name(1n), name(2n)]);
  });

  test("keeps its beginning and its newest; the offsets tell what is missing between", () => {
    const store = open({ quotas });
    store.beginBoot(bootB);
    store.append("console", line("another"));
    store.beginBoot(bootA);
    for (let i = 10; i < 30; i++) store.append("console", line(`line ${i}`));
    expect(recordNames()).toEqual(["console-1", "console-2", "console-20", "console-21"]);
    expect(contents("console-2")).toBe("line 10\n");
    expect(contents("console-21")).toBe("line 29\n");
    expect(
      readStreamIndex(directory)
        .slice(-2)
        .map(({ offset }) => offset),
    ).toEqual([144, 152]);
  });

  test("stays whole while a flood of boots comes behind it", () => {
    const options = { quotas: { ...quotas, console: { records: 20, bytes: 800 } } };
    const before = open(options);
    before.beginBoot(bootA);
    for (const digit of ["1", "2", "3"]) before.append("console", line(digit.repeat(60)));
    before.close();
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    for (const id of [1, 2, 3]) {
      utimesSync(at(`console-${id}`), minutesAgo(60 - id), minutesAgo(60 - id));
    }
    const store = open(options);
    for (let boot = 0; boot < 98; boot++) {
      store.beginBoot(boot.toString(16).padStart(32, "0"));
      store.append("console", line("a line"));
    }
    expect(recordNames()).toHaveLength(20);
    expect(recordNames()).toEqual(
      expect.arrayContaining(["console-1", "console-2", "console-3", "console-4", "console-101"]),
    );
  });

  test("what is larger than a file gets one of its own", () => {
    const store = open({ quotas });
    store.append("console", line("x".repeat(30)));
    store.append("console", line("y"));
    expect(recordNames()).toEqual(["console-1", "console-2"]);
  });
});

test("what is left of data that failed is gone before the next is noted: else it would be taken for that", () => {
  let broken = false;
  let writes = 0;
  const breaks = (call: string) => {
    if (broken) throw new SystemError(call, errno.EIO, "console-1");
  };
  const store = open({
    files: {
      ...systemFiles,
      write: (fd, data) => {
        if (broken && ++writes === 1) return systemFiles.write(fd, [Buffer.from("a lon")]);
        breaks("writev");
        return systemFiles.write(fd, data);
      },
      truncate: (fd, bytes) => {
        breaks("ftruncate");
        systemFiles.truncate(fd, bytes);
      },
    },
  });
  store.append("console", line("one"));
  broken = true;
  expect(() => store.append("console", line("a long one"))).toThrow("EIO");
  expect(contents("console-1")).toBe("one\na lon");
  broken = false;
  const noted: [before: number, size: number][] = [];
  const entry = new RequestJournal().begin(0, 0);
  vi.spyOn(entry, "appending").mockImplementation((_stream, before) => {
    noted.push([before, statSync(at("console-1")).size]);
  });
  store.append("console", line("two"), entry);
  expect(noted).toEqual([[4, 4]]);
});

describe("data that isn't taken", () => {
  const quotas = { ...DEFAULT_QUOTAS, console: { records: 2, bytes: 1000 } };

  test("is counted, and said in the stream where it is missing", () => {
    const store = open({ quotas });
    store.append("console", line("before"));
    for (let i = 0; i < 3; i++) {
      expect(() => store.append("console", [Buffer.alloc(2000)])).toThrow("ENOSPC");
    }
    store.append("console", [Buffer.from("part of a li")]);
    expect(() => store.append("console", [Buffer.alloc(5000)])).toThrow("ENOSPC");
    store.append("console", line("after"));
    expect(contents("console-1")).toBe(
      "before\n[virtio-pstore: 6000 bytes are missing here]\npart of a li\n" +
        "[virtio-pstore: 5000 bytes are missing here]\nafter\n",
    );
    expect(() => store.append("console", [Buffer.alloc(1001)])).toThrow("ENOSPC");
    store.endBoot();
    expect(contents("console-1")).toMatch(
      /after\n\[virtio-pstore: 1001 bytes are missing here\]\n$/,
    );
  });
});
