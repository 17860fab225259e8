import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/native/index.js";
import { DirectoryStore, type StoreOptions } from "../../src/store/index.js";
import { closeAll, closing } from "../support/in-process.js";
import { temporaryFolder } from "../support/in-process-server.js";
import { type PstoreGuest, recordNames, startGuest } from "../support/pstore-in-process.js";
import { failure, wrapFiles } from "../support/store-files.js";

afterEach(closeAll);

const [DMESG, CONSOLE] = [1, 2] as const;
const text = Buffer.from("last words");

const write = async ({ driver }: PstoreGuest, type: number = DMESG) =>
  (await driver.write({ type }, text)).ret;

describe("a directory that is moved away while it is used", () => {
  const start = async (options: StoreOptions = {}) => {
    const directory = join(temporaryFolder(), "records");
    return startGuest({ directory, ...options });
  };

  test("is told to the guest and in the log, and used again when it is back", async () => {
    const guest = await start();
    expect([await write(guest), await write(guest, CONSOLE)]).toEqual([0, 0]);
    renameSync(guest.directory, `${guest.directory}.old`);
    expect([await write(guest), await write(guest, CONSOLE)]).toEqual([
      -errno.ENOENT,
      -errno.ENOENT,
    ]);
    expect(guest.log.map(({ message }) => message)).toEqual([
      `dump: ${guest.directory}: no such file or directory: put it back, or make another`,
      `stream: ${guest.directory}: no such file or directory: put it back, or make another`,
    ]);
    renameSync(`${guest.directory}.old`, guest.directory);
    expect([await write(guest), await write(guest, CONSOLE)]).toEqual([0, 0]);
    expect(recordNames(guest.directory)).toEqual(["console-2", "dmesg-1", "dmesg-3"]);
    expect(readFileSync(join(guest.directory, "console-2"), "utf8")).toBe(
      "last words\n[virtio-pstore: 10 bytes are missing here]\nlast words",
    );
  });

  test("has its place taken by another of its name: that is used, locked, and ids go on", async () => {
    const moved: string[] = [];
    const guest = await start({ onMoved: () => moved.push("moved") });
    expect([await write(guest), await write(guest, CONSOLE)]).toEqual([0, 0]);
    const old = `${guest.directory}.old`;
    renameSync(guest.directory, old);
    mkdirSync(guest.directory);
    expect([await write(guest), await write(guest, CONSOLE)]).toEqual([0, 0]);
    expect(moved).toEqual(["moved"]);
    expect(recordNames(old)).toEqual(["console-2", "dmesg-1"]);
    expect(recordNames(guest.directory)).toEqual(["console-4", "dmesg-3"]);
    expect((await guest.driver.walk()).map(({ info }) => info.id)).toEqual([3n]);
    expect(() => new DirectoryStore(guest.directory)).toThrow("used by another");
    // The one that was left is anybody's.
    closing(new DirectoryStore(old));
  });

  test("is replaced by one that another process has: the guest is told until that lets go", async () => {
    const guest = await start();
    expect(await write(guest)).toBe(0);
    renameSync(guest.directory, `${guest.directory}.old`);
    const other = new DirectoryStore(guest.directory);
    const before = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 5; i++) expect(await write(guest)).toBe(-errno.EAGAIN);
    expect(readdirSync("/proc/self/fd").length).toBe(before);
    other.close();
    expect(await write(guest)).toBe(0);
    expect(recordNames(guest.directory)).toEqual(["dmesg-2"]);
  });
});

test("a file system that becomes read-only is told, and used again when it is writable", async (context) => {
  const guest = await startGuest();
  expect([await write(guest), await write(guest, CONSOLE)]).toEqual([0, 0]);
  const { directory } = guest;
  const mount = (...args: readonly string[]) => spawnSync("mount", [...args, directory]).status;
  if (mount("--bind", directory) !== 0) {
    context.skip("mounting takes privileges that this user lacks");
    return;
  }
  try {
    expect(mount("-o", "remount,bind,ro")).toBe(0);
    expect(await write(guest)).toBe(-errno.EROFS);
    expect(guest.log.at(-1)?.message).toBe(
      `dump: ${directory}: read-only file system: mount it for writing`,
    );
  } finally {
    spawnSync("umount", [directory]);
  }
  expect(await write(guest)).toBe(0);
  expect((await guest.driver.walk()).map(({ data }) => data)).toEqual([text, text]);
});

test.each(["ENOSPC", "EDQUOT", "EIO"] as const)(
  "a disk that says %s when a record is synced: the guest is told, and one line says so",
  async (name) => {
    let failing = true;
    const files = wrapFiles((call, _, run) => {
      if (failing && call === "sync") throw failure(call, errno[name]);
      return run();
    });
    failing = false;
    const guest = await startGuest({ files });
    failing = true;
    expect(await write(guest)).toBe(-errno[name]);
    failing = false;
    expect(guest.log).toHaveLength(1);
    expect(guest.log[0]).toMatchObject({ level: "warn", code: "STORE" });
    expect(guest.log[0]?.message).toContain(guest.directory);
    expect(await write(guest)).toBe(0);
    expect(await guest.driver.walk()).toHaveLength(1);
  },
);
