import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { commit } from "../../src/store/index.js";
import { closeAll, closing, settle } from "../support/in-process.js";
import { temporaryFolder } from "../support/in-process-server.js";
import { startRing } from "../support/negotiations.js";
import {
  connectGuest,
  HeldCommitter,
  type PstoreGuest,
  pstoreHost,
  recordNames,
  startGuest,
} from "../support/pstore-in-process.js";
import { decodeResponse, encodeRequest } from "../support/pstore-wire.js";

afterEach(closeAll);

const [DMESG, CONSOLE] = [1, 2] as const;
const text = Buffer.from("last words");

/** Puts WRITEs on the ring, kicks, and lets the device work. */
function offer(guest: PstoreGuest, data: readonly Uint8Array[], type: number = DMESG) {
  const queue = guest.driver.writeQueue;
  const prepared = data.map((bytes) => guest.driver.prepareWrite({ type }, bytes));
  for (const { head } of prepared) queue.stage(head);
  queue.announce();
  queue.kick();
  settle(guest.loop);
  return prepared;
}

function collectAll({ driver }: PstoreGuest): [head: number, usedLength: number][] {
  const used: [number, number][] = [];
  for (;;) {
    const head = driver.writeQueue.collect();
    if (head < 0) return used;
    used.push([head, driver.writeQueue.usedLength]);
  }
}

describe("durable before used", () => {
  test("pstore: nothing is in the used ring until the disk has answered, and then the record has its name and is whole", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    const [prepared] = offer(guest, [text]);
    expect(committer.held).toBe(1);
    expect(guest.driver.writeQueue.usedIndex).toBe(0);
    expect(guest.driver.writeQueue.calls()).toBe(0);
    expect(recordNames(guest.directory)).toEqual([]);
    committer.release();
    expect(recordNames(guest.directory)).toEqual(["dmesg-1"]);
    expect(readFileSync(join(guest.directory, "dmesg-1"))).toEqual(text);
    expect(collectAll(guest)).toEqual([[prepared?.head, 8]]);
    expect(guest.driver.writeQueue.calls()).toBe(1);
  });

  test("pstore: when the used index moves, the record's file is already complete under its final name", async () => {
    const seen: [when: string, usedIndex: number, contents: string][] = [];
    let look: (when: string) => void = () => undefined;
    const guest = await startGuest({
      committer: {
        run: (batch, done) => {
          const result = commit(batch);
          if (batch.records.length > 0) look("committed");
          done(result);
          if (batch.records.length > 0) look("answered");
        },
      },
    });
    look = (when) => {
      const contents = readFileSync(join(guest.directory, "dmesg-1"), "utf8");
      seen.push([when, guest.driver.writeQueue.usedIndex, contents]);
    };
    offer(guest, [text]);
    expect(seen).toEqual([
      ["committed", 0, `${text}`],
      ["answered", 1, `${text}`],
    ]);
  });

  test("pstore: a batch is answered in order, all of it at once", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    const prepared = offer(
      guest,
      ["a", "b", "c"].map((data) => Buffer.from(data)),
    );
    expect(committer.held).toBe(1);
    committer.release();
    expect(collectAll(guest)).toEqual(prepared.map(({ head }) => [head, 8]));
    expect(guest.driver.writeQueue.calls()).toBe(1);
    expect(
      ["dmesg-1", "dmesg-2", "dmesg-3"].map((name) =>
        readFileSync(join(guest.directory, name), "utf8"),
      ),
    ).toEqual(["a", "b", "c"]);
  });

  test("pstore: what comes while the disk is waited for is served afterwards, in order, without another kick", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    const first = offer(guest, [Buffer.from("a")]);
    const second = offer(guest, [Buffer.from("b")]);
    expect(committer.held).toBe(1);
    committer.release();
    settle(guest.loop);
    expect(collectAll(guest)).toEqual(first.map(({ head }) => [head, 8]));
    expect(committer.held).toBe(1);
    committer.release();
    expect(collectAll(guest)).toEqual(second.map(({ head }) => [head, 8]));
    expect(readFileSync(join(guest.directory, "dmesg-2"), "utf8")).toBe("b");
  });

  test("pstore: the read queue is served while the write queue waits for the disk, and a walk shows no record before its time", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    offer(guest, [text]);
    expect(await guest.driver.walk()).toEqual([]);
    committer.release();
    expect((await guest.driver.walk()).map(({ data }) => data)).toEqual([text]);
  });

  test("pstore: a slow disk of one guest doesn't keep another's requests waiting", async () => {
    const committer = new HeldCommitter();
    const slow = await startGuest({ committer });
    const quick = await startGuest({ loop: slow.loop });
    offer(slow, [text]);
    expect(await quick.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(slow.driver.writeQueue.usedIndex).toBe(0);
    committer.release();
  });

  test("pstore: console data alone doesn't wait for the disk", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    expect(await guest.driver.write({ type: CONSOLE }, text)).toMatchObject({ ret: 0 });
    expect(committer.held).toBe(0);
  });

  test("pstore: requests of a ring that begins anew, without a reset of the device, are each served", async () => {
    const { driver, frontEnd, directory } = await startGuest();
    const queue = driver.writeQueue;
    for (let n = 0; n < 2; n++) {
      expect(await driver.write({ type: DMESG }, Buffer.from(`dump ${n}`))).toMatchObject({
        ret: 0,
      });
      expect(await frontEnd.getRingBase(1)).toBe(1);
      queue.restart();
      await startRing(frontEnd, 1, queue);
    }
    expect(recordNames(directory)).toHaveLength(2);
  });

  test("pstore: ERASE is answered when it is durable", async () => {
    const committer = new HeldCommitter();
    committer.holds = false;
    const guest = await startGuest({ committer });
    await guest.driver.write({ type: DMESG }, text);
    committer.holds = true;
    const queue = guest.driver.readQueue;
    const erase = encodeRequest({ cmd: 4, type: DMESG, id: 1n });
    const { head } = guest.driver.prepare(queue, [erase], [8]);
    queue.offer(head);
    settle(guest.loop);
    expect(queue.collect()).toBe(-1);
    committer.release();
    expect(queue.collect()).toBe(head);
  });

  test("pstore: a disk that fails is told to the guest, and nothing is left of the record", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    const prepared = offer(guest, [text, text]);
    committer.fail(errno.EIO);
    for (const { writable } of prepared) {
      expect(decodeResponse(writable, 8)).toMatchObject({ cmd: 3, type: DMESG, ret: -errno.EIO });
    }
    expect(collectAll(guest)).toHaveLength(2);
    expect(recordNames(guest.directory)).toEqual([]);
    expect(existsSync(join(guest.directory, ".next-1"))).toBe(false);
    const [next] = offer(guest, [text]);
    committer.release();
    expect(next && decodeResponse(next.writable, 8).ret).toBe(0);
    expect(recordNames(guest.directory)).toEqual(["dmesg-3"]);
  });

  test("pstore: a connection that ends while the disk is waited for loses nothing", async () => {
    const committer = new HeldCommitter();
    const guest = await startGuest({ committer });
    offer(guest, [text, text]);
    guest.frontEnd.close();
    settle(guest.loop);
    expect(committer.held).toBe(1);
    committer.release();
    settle(guest.loop);
    const again = await connectGuest(guest);
    expect((await again.driver.walk()).map(({ data }) => data)).toEqual([text, text]);
  });
});

describe("errors of the store", () => {
  /** As many WRITEs of `bytes` as go, and the errno of the first that doesn't. */
  async function fill(guest: PstoreGuest, bytes: number): Promise<{ stored: number; ret: number }> {
    for (let stored = 0; stored < 1000; stored++) {
      const data = Buffer.alloc(bytes, `${stored}`);
      const { ret } = await guest.driver.write({ type: DMESG }, data);
      if (ret !== 0) return { stored, ret };
    }
    throw new Error("the disk is never full");
  }

  /** Mounts a file system of `bytes` bytes; undefined where this user may not. */
  function tinyFileSystem(bytes: number): string | undefined {
    const folder = temporaryFolder();
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder]);
    if (mount.status !== 0) return undefined;
    closing({
      close: () => {
        spawnSync("umount", [folder]);
      },
    });
    return folder;
  }

  test("pstore: a full disk is -ENOSPC, stored records are unharmed, and service goes on when there is room", async (context) => {
    const directory = tinyFileSystem(64 << 10);
    if (directory === undefined) {
      context.skip("mounting a tmpfs takes privileges that this user lacks");
      return;
    }
    const guest = await connectGuest(pstoreHost({ directory }));
    const { stored, ret } = await fill(guest, 10_000);
    expect(ret).toBe(-errno.ENOSPC);
    expect(stored).toBeGreaterThan(2);
    expect(recordNames(directory)).toHaveLength(stored);
    const records = await guest.driver.walk();
    records.forEach(({ data }, i) => {
      expect(data.equals(Buffer.alloc(10_000, `${i}`))).toBe(true);
    });
    // Not a byte of a record that failed stays: the rest of the disk is there for smaller ones.
    expect(await guest.driver.write({ type: DMESG }, Buffer.alloc(100))).toMatchObject({ ret: 0 });
    expect(await fill(guest, 10_000)).toEqual({ stored: 0, ret: -errno.ENOSPC });
    rmSync(join(directory, "dmesg-1"));
    expect(await guest.driver.write({ type: DMESG }, Buffer.alloc(10_000))).toMatchObject({
      ret: 0,
    });
    guest.store.close();
    const names = recordNames(directory);
    expect(new Set(names).size).toBe(stored + 1);
    const again = await connectGuest(pstoreHost({ directory }));
    expect(await again.driver.walk()).toHaveLength(stored + 1);
  });

  test("pstore: console data that doesn't fit is refused whole, and what came before stays", async (context) => {
    const directory = tinyFileSystem(32 << 10);
    if (directory === undefined) {
      context.skip("mounting a tmpfs takes privileges that this user lacks");
      return;
    }
    const guest = await connectGuest(pstoreHost({ directory }));
    let taken = 0;
    for (;;) {
      const { ret } = await guest.driver.write({ type: CONSOLE }, Buffer.alloc(5000, `${taken}`));
      if (ret !== 0) {
        expect(ret).toBe(-errno.ENOSPC);
        break;
      }
      taken++;
    }
    expect(taken).toBeGreaterThan(1);
    const console = () => readFileSync(join(directory, "console-1"));
    expect(console()).toHaveLength(5000 * taken);
    expect(await guest.driver.write({ type: CONSOLE }, Buffer.alloc(10, "z"))).toMatchObject({
      ret: 0,
    });
    expect(
      console()
        .subarray(5000 * taken)
        .toString(),
    ).toBe("\n[virtio-pstore: 5000 bytes are missing here]\nzzzzzzzzzz");
  });

  test("pstore: a file size limit is -EFBIG, stored records are unharmed, and service goes on without it", async () => {
    const limit = (bytes: string) =>
      spawnSync("prlimit", ["--pid", `${process.pid}`, `--fsize=${bytes}:`]).status;
    const guest = await startGuest();
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(limit("4096")).toBe(0);
    try {
      expect(await guest.driver.write({ type: DMESG }, Buffer.alloc(5000))).toMatchObject({
        ret: -errno.EFBIG,
      });
      expect(await guest.driver.write({ type: DMESG }, Buffer.alloc(4096))).toMatchObject({
        ret: 0,
      });
    } finally {
      limit("unlimited");
    }
    expect(await guest.driver.write({ type: DMESG }, Buffer.alloc(5000))).toMatchObject({ ret: 0 });
    const sizes = (await guest.driver.walk()).map(({ info }) => info.len);
    expect(sizes).toEqual([text.length, 4096, 5000]);
    expect(guest.log.map(({ level, code }) => [level, code])).toEqual([
      ["warn", "STORE"],
      ["info", "STORE"],
    ]);
  });

  test("pstore: where the next record's file can't be made, that record is refused and the one before isn't", async () => {
    const guest = await startGuest();
    const obstacle = join(guest.directory, ".next-2");
    mkdirSync(obstacle);
    const write = async () => (await guest.driver.write({ type: DMESG }, text)).ret;
    expect(await write()).toBe(0);
    expect(await write()).toBe(-errno.EISDIR);
    expect(await write()).toBe(-errno.EISDIR);
    rmdirSync(obstacle);
    expect(await write()).toBe(0);
    expect(recordNames(guest.directory)).toEqual(["dmesg-1", "dmesg-2"]);
  });

  test("pstore: a directory that is gone is -ENOENT", async () => {
    const guest = await startGuest({ directory: join(temporaryFolder(), "records") });
    rmSync(guest.directory, { recursive: true });
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: -errno.ENOENT });
    expect(await guest.driver.open()).toMatchObject({ ret: -errno.ENOENT });
  });
});

test("pstore: records are the owner's alone (0600), whatever the umask", async () => {
  const before = process.umask(0);
  try {
    const guest = await startGuest();
    await guest.driver.write({ type: DMESG }, text);
    await guest.driver.write({ type: CONSOLE }, text);
    await guest.driver.erase(DMESG, 1n);
    chmodSync(guest.directory, 0o755);
    for (const name of ["dmesg-1", "console-2", ".erased"]) {
      expect(lstatSync(join(guest.directory, name)).mode & 0o777).toBe(0o600);
    }
  } finally {
    process.umask(before);
  }
});
