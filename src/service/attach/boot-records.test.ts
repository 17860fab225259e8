import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { tinyKernel } from "../../../test/support/tiny-kernel.js";
import { openKernel } from "../../memory/kernel/index.js";
import type { LogEntry } from "../../memory/log.js";
import { DirectoryStore } from "../../store/index.js";
import { BootRecords } from "./boot-records.js";

const message = (seq: bigint, seconds: bigint, text: string): LogEntry => ({
  ...{ seq, priority: 6, nanoseconds: seconds * 1_000_000_000n },
  text: Buffer.from(text),
});

function opened() {
  const directory = mkdtempSync(join(tmpdir(), "virtio-pstore-boot-"));
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const store = new DirectoryStore(directory);
  onTestFinished(() => {
    store.close();
  });
  const errors: string[] = [];
  const records = () =>
    new BootRecords(store, openKernel(tinyKernel().memory), (error) => errors.push(error));
  const names = () => readdirSync(directory).filter((name) => !name.startsWith("."));
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  return { directory, records, errors, names, read };
}

test("a console begins with how much of the log came before it", () => {
  const { records, names, read } = opened();
  const boot = records();
  boot.append([message(7n, 1n, "seventh"), message(8n, 2n, "eighth")]);
  // A clock that steps back loses nothing.
  boot.append([message(9n, 1n, "ninth")]);
  expect(names()).toEqual(["console-1"]);
  expect(read("console-1")).toBe(
    "[virtio-pstore: 7 messages lost]\n<6>[    1.000000] seventh\n<6>[    2.000000] eighth\n<6>[    1.000000] ninth\n",
  );
});

test("boots of a kernel that doesn't tell them apart are two", () => {
  const { records, names } = opened();
  const first = records();
  first.append([message(0n, 1n, "first")]);
  const second = records();
  second.append([message(0n, 1n, "second")]);
  expect(second.id).not.toBe(first.id);
  expect(names()).toHaveLength(2);
});

test("a dump is the log with the report behind it, counted within its boot", () => {
  const { records, read, errors } = opened();
  const boot = records();
  const log = [message(0n, 1n, "Linux version 1"), message(1n, 2n, "stuck")];
  expect([boot.has("Hang"), boot.dump("Hang", log, ["virtio-pstore: hung"])]).toEqual([
    false,
    true,
  ]);
  expect(boot.has("Hang")).toBe(true);
  expect(boot.dump("Panic", log, [])).toBe(true);
  expect(read("dmesg-1")).toBe(
    `Hang#1 Part1 boot=${boot.id} oldest-first last\n<6>[    1.000000] Linux version 1\n` +
      "<6>[    2.000000] stuck\n<1>[    2.000000] virtio-pstore: hung\n",
  );
  expect(read("dmesg-2")).toContain(`Panic#2 Part1 boot=${boot.id} `);
  expect(errors).toEqual([]);
});

test("a directory that was removed is told, and used again when it is there again", () => {
  const { directory, records, names, errors } = opened();
  const boot = records();
  rmSync(directory, { recursive: true });
  expect(boot.has("Panic")).toBe(false);
  expect(boot.dump("Panic", [message(0n, 1n, "last")], [])).toBe(false);
  expect(errors).toEqual([expect.stringMatching(/moved away|no such file/)]);
  mkdirSync(directory);
  expect(boot.dump("Panic", [message(0n, 1n, "last")], [])).toBe(true);
  expect(names()).toEqual(["dmesg-1"]);
});

test("of a log that is longer than a record may be, the end is stored, from a whole line on", () => {
  const { records, read } = opened();
  const long = "x".repeat(1 << 20);
  const log = Array.from({ length: 66 }, (_, i) => message(BigInt(i), BigInt(i), long));
  expect(records().dump("Panic", log, [])).toBe(true);
  const [, note = "", next = ""] = read("dmesg-1").split("\n", 3);
  expect(note).toMatch(/^\[virtio-pstore: [0-9]+ bytes are missing here\]$/);
  expect(next).toMatch(/^<6>\[ {4}[0-9]\.000000\] x+$/);
});
