import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { errno, SystemError } from "../../os/index.js";
import { DirectoryStore } from "../directory-store.js";
import { type Files, systemFiles } from "../files.js";
import { StoreError } from "../store-error.js";
import { RequestJournal, recover } from "./index.js";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "pstore-recovery-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function open(directory: string, files: Files = systemFiles): DirectoryStore {
  const store = new DirectoryStore(directory, { files });
  onTestFinished(() => {
    store.close();
  });
  return store;
}

/** The journals of processes that follow each other. */
function journals(): () => RequestJournal {
  const memory = new Uint8Array(1 << 15);
  const next = () => new RequestJournal(memory);
  next().begun = true;
  return next;
}

const console1 = { type: "console", id: 1n } as const;
const stream = { kind: "stream", type: "console" } as const;

test("where it can't be found out what was done, that is an error, and nothing stays open", () => {
  const directory = temporaryFolder();
  let broken = true;
  const truncate = (fd: number, bytes: number) => {
    if (broken) throw new SystemError("ftruncate", errno.EIO, "console-1");
    systemFiles.truncate(fd, bytes);
  };
  const file = join(directory, "console-1");
  writeFileSync(file, "one\nhalf");
  const store = open(directory, { ...systemFiles, truncate });
  const next = journals();
  next().begin(0, 0).appending(console1, 4, 8);

  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  for (let i = 0; i < 20; i++) expect(() => recover(next(), store)).toThrow(StoreError);
  expect(descriptors()).toBe(before);
  expect(readFileSync(file, "latin1")).toBe("one\nhalf");

  broken = false;
  recover(next(), store);
  expect(readFileSync(file, "latin1")).toBe("one\n");
});

test("half an append is taken back once, though the process that did so dies before it is done again", () => {
  const directory = temporaryFolder();
  const file = join(directory, "console-1");
  writeFileSync(file, "one\nhalf");
  const store = open(directory);
  const next = journals();
  next().begin(0, 0).appending(console1, 4, 8);
  recover(next(), store);
  expect(readFileSync(file, "latin1")).toBe("one\n");
  // Of another queue.
  appendFileSync(file, "tiny\n");
  recover(next(), store);
  expect(readFileSync(file, "latin1")).toBe("one\ntiny\n");
  expect(next().resultOf(0, 0, stream)).toBeUndefined();
});

test("a whole append is done, with the note of what was missing before it; what was refused since is still missing", () => {
  const directory = temporaryFolder();
  writeFileSync(join(directory, "console-1"), "one\nwhole\n");
  const store = open(directory);
  const next = journals();
  next().begin(0, 0).appending(console1, 4, 6);
  next().setMissing("console", 5);
  recover(next(), store);
  expect(next().missing("console")).toBe(0);
  next().setMissing("console", 7);
  recover(next(), store);
  expect(next().missing("console")).toBe(7);
  expect(next().resultOf(0, 0, stream)).toBe(0);
});

test("a dump is done if its file has its name, whoever compressed it, and says whether the guest may end behind it", () => {
  const directory = temporaryFolder();
  const names = ["dmesg-1", "dmesg-2.enc.z", "dmesg-3.gz"];
  for (const name of names) writeFileSync(join(directory, name), "a dump");
  const store = open(directory);
  const next = journals();
  const inodes = names.map((name) => statSync(join(directory, name)).ino);
  // One that isn't there, and one that is another file.
  for (const [position, inode] of [...inodes, 1, 1].entries()) {
    const id = BigInt(1 + (position === 4 ? 0 : position));
    next()
      .begin(1, position)
      .naming({ type: "dmesg", id }, inode, position > 2);
  }
  const dump = { kind: "dump", type: "dmesg" } as const;
  recover(next(), store);
  expect([0, 1, 2, 3, 4].map((position) => next().resultOf(1, position, dump))).toEqual([
    0,
    0,
    0,
    undefined,
    undefined,
  ]);
  expect(next().lastDump).toBe(false);
  next()
    .begin(1, 0)
    .naming({ type: "dmesg", id: 1n }, inodes[0] ?? 0, true);
  recover(next(), store);
  expect(next().lastDump).toBe(true);
  next().clear();
  expect([next().lastDump, next().begun]).toEqual([false, false]);
});

test("a record is erased if it isn't shown; what was refused stays so; a READ is done again from where it was", () => {
  const directory = temporaryFolder();
  writeFileSync(join(directory, "dmesg-2"), "a dump");
  const store = open(directory);
  const next = journals();
  const journal = next();
  journal.begin(0, 0).erasing({ type: "dmesg", id: 1n });
  journal.begin(0, 1).erasing({ type: "dmesg", id: 2n });
  journal.begin(0, 2).refused(errno.ENOSPC);
  journal.walk = { after: { type: "dmesg", id: 5n }, upTo: 9n };
  journal.begin(0, 3).reading(3n);
  journal.walk = undefined;
  recover(next(), store);
  const erase = (id: bigint) => ({ kind: "erase", type: "dmesg", id }) as const;
  expect(next().resultOf(0, 0, erase(1n))).toBe(0);
  expect(next().resultOf(0, 1, erase(2n))).toBeUndefined();
  expect(next().resultOf(0, 2, stream)).toBe(errno.ENOSPC);
  expect(next().resultOf(0, 3, { kind: "read" })).toBeUndefined();
  expect(next().walk).toMatchObject({ after: { id: 3n }, upTo: 9n });
});

test("what this process noted of a request says nothing of a former one", () => {
  const journal = journals()();
  journal.begin(0, 0).refused(errno.ENOSPC);
  expect(journal.resultOf(0, 0, stream)).toBeUndefined();
});

test("a request that a guest put in another's place, or that has another position, is to be done", () => {
  const store = open(temporaryFolder());
  const next = journals();
  next().begin(0, 0).erasing({ type: "dmesg", id: 1n });
  recover(next(), store);
  expect(next().resultOf(0, 0, { kind: "erase", type: "dmesg", id: 2n })).toBeUndefined();
  expect(next().resultOf(0, 0, stream)).toBeUndefined();
  expect(next().resultOf(0, 64, { kind: "erase", type: "dmesg", id: 1n })).toBeUndefined();
  expect(next().resultOf(1, 0, { kind: "erase", type: "dmesg", id: 1n })).toBeUndefined();
});
