import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
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

  test("has its place taken by a link, also one to itself: that isn't followed", async () => {
    const guest = await start();
    expect(await write(guest)).toBe(0);
    const old = `${guest.directory}.old`;
    const target = `${guest.directory}.target`;
    renameSync(guest.directory, old);
    mkdirSync(target);
    for (const to of [target, old]) {
      symlinkSync(to, guest.directory);
      expect([await write(guest), await write(guest, CONSOLE)]).toEqual([
        -errno.ENOTDIR,
        -errno.ENOTDIR,
      ]);
      unlinkSync(guest.directory);
    }
    expect(guest.log[0]?.message).toBe(
      `dump: ${guest.directory}: not a directory: put a directory there, no link and no file`,
    );
    expect(readdirSync(target)).toEqual([]);
    renameSync(old, guest.directory);
    expect(await write(guest)).toBe(0);
    expect(recordNames(guest.directory)).toEqual(["dmesg-1", "dmesg-2"]);
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

describe("a file system that is full", () => {
  /** Makes files until no more fit; returns what removes them. */
  function fill(folder: string, bytes: number): () => void {
    const ballast = join(folder, "ballast");
    mkdirSync(ballast);
    try {
      for (let i = 0; ; i++) writeFileSync(join(ballast, `${i}`), Buffer.alloc(bytes));
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
    return () => {
      rmSync(ballast, { recursive: true });
    };
  }

  test.for([
    {
      what: "bytes",
      bytes: 262_144,
      dumps: [-errno.ENOSPC, -errno.ENOSPC],
      console: -errno.ENOSPC,
    },
    // The next record's file is there.
    { what: "inodes", bytes: 0, dumps: [0, -errno.ENOSPC], console: 0 },
  ])(
    "has no $what left: the guest is told, the log once, and with room again all goes on",
    async ({ bytes, dumps, console }, context) => {
      const folder = temporaryFolder();
      const tmpfs = ["-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "tmpfs", folder];
      if (spawnSync("mount", tmpfs).status !== 0) {
        context.skip("mounting takes privileges that this user lacks");
      }
      closing({ close: () => spawnSync("umount", ["--lazy", folder]) });
      const directory = join(folder, "records");
      const data = Buffer.alloc(5000, "last words\n");
      const writeTo = async ({ driver }: PstoreGuest, type: number) =>
        (await driver.write({ type }, data)).ret;

      const guest = await startGuest({ directory });
      expect([await writeTo(guest, DMESG), await writeTo(guest, CONSOLE)]).toEqual([0, 0]);
      const relieve = fill(folder, bytes);
      for (const dump of [...dumps, dumps[1], dumps[1]]) {
        expect(await writeTo(guest, DMESG)).toBe(dump);
        expect(await writeTo(guest, CONSOLE)).toBe(console);
      }
      const full = `${directory}: no space left on device: make room`;
      expect(guest.log.map(({ message }) => message)).toEqual(
        console === 0 ? [`dump: ${full}`] : [`dump: ${full}`, `stream: ${full}`],
      );
      const stored = recordNames(directory);
      expect(stored).toHaveLength(dumps[0] === 0 ? 3 : 2);

      // Another process begins while it is full.
      guest.store.close();
      const next = await startGuest({ directory });
      expect(await writeTo(next, DMESG)).toBe(-errno.ENOSPC);
      expect(recordNames(directory)).toEqual(stored);
      relieve();
      expect([await writeTo(next, DMESG), await writeTo(next, CONSOLE)]).toEqual([0, 0]);
      expect(next.log.map(({ message }) => message)).toEqual([
        `dump: ${full}`,
        "dump: works again; 1 failed",
      ]);
      const walked = await next.driver.walk();
      for (const { info, data: read } of walked) {
        if (info.type === DMESG) expect(data.equals(read)).toBe(true);
      }
      expect(recordNames(directory)).toHaveLength(stored.length + 2);
    },
  );
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
