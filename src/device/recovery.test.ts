import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { errno, SystemError } from "../os/index.js";
import { DirectoryStore, StoreError, systemFiles } from "../store/index.js";
import { Ledger } from "./ledger.js";
import { PstoreDevice } from "./pstore-device.js";
import { Recovery } from "./recovery.js";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "pstore-recovery-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

test("where it can't be found out what a former process did there is no device, which would say what isn't true; and nothing stays open", () => {
  const directory = temporaryFolder();
  let broken = true;
  const truncate = (fd: number, bytes: number) => {
    if (broken) throw new SystemError("ftruncate", errno.EIO, "console-1");
    systemFiles.truncate(fd, bytes);
  };
  const file = join(directory, "console-1");
  writeFileSync(file, "one\n");
  const store = new DirectoryStore(directory, { files: { ...systemFiles, truncate } });
  // As of a process that died amid an append.
  const memory = new Uint8Array(1 << 15);
  const ledger = new Ledger(memory);
  ledger.begun = true;
  ledger.entry(0, 0).of("console").append(1n, 4, 8);
  appendFileSync(file, "half");

  const create = () =>
    new PstoreDevice({ store, memory, bufsize: 4096, maxData: 4096, types: ["console"] });
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  for (let i = 0; i < 20; i++) expect(create).toThrow(StoreError);
  expect(descriptors()).toBe(before);
  expect(readFileSync(file, "latin1")).toBe("one\nhalf");

  broken = false;
  create().close();
  expect(readFileSync(file, "latin1")).toBe("one\n");
  store.close();
});

test("half an append is taken back once, though the process that did so dies before it is done again", () => {
  const directory = temporaryFolder();
  const file = join(directory, "console-1");
  writeFileSync(file, "one\nhalf");
  const store = new DirectoryStore(directory);
  const ledger = new Ledger(new Uint8Array(1 << 15));
  ledger.entry(0, 0).of("console").append(1n, 4, 8);
  new Recovery(ledger, store);
  expect(readFileSync(file, "latin1")).toBe("one\n");
  // Of another queue.
  appendFileSync(file, "tiny\n");
  new Recovery(ledger, store);
  expect(readFileSync(file, "latin1")).toBe("one\ntiny\n");
  store.close();
});
