import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { closeAll } from "../support/in-process.js";
import type { PstoreDriver } from "../support/pstore-driver.js";
import { disconnectGuest, resetGuest, startGuest } from "../support/pstore-in-process.js";
import { decodeResponse, encodeRequest } from "../support/pstore-wire.js";

afterEach(closeAll);

const READ = 2;
const [DMESG, CONSOLE] = [1, 2] as const;
const COMPRESSED = 1;

async function writeAll(driver: PstoreDriver, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    expect(await driver.write({ type: DMESG }, Buffer.from(`record ${i}`))).toMatchObject({
      ret: 0,
    });
  }
}

const ids = async (driver: PstoreDriver) => (await driver.walk()).map(({ info }) => info.id);

describe("a walk", () => {
  test("pstore: READ returns the records in order of id, which isn't that of their names", async () => {
    const { driver } = await startGuest();
    await writeAll(driver, 11);
    const records = await driver.walk();
    expect(records.map(({ info }) => info.id)).toEqual(
      Array.from({ length: 11 }, (_, i) => BigInt(i + 1)),
    );
    expect(records.map(({ data }) => data.toString())).toEqual(
      Array.from({ length: 11 }, (_, i) => `record ${i + 1}`),
    );
  });

  test("pstore: READ's used length is 8 + 40 + len, and fileinfo tells the record", async () => {
    const { driver, directory } = await startGuest();
    await driver.write({ type: DMESG, count: 3 }, Buffer.from("text"));
    await driver.write({ type: DMESG, flags: COMPRESSED }, Buffer.from([1, 2, 3]));
    // 2005-03-18, with nanoseconds that a double of seconds can hold exactly.
    utimesSync(join(directory, "dmesg-1"), 1111111111.25, 1111111111.25);
    const before = BigInt(Math.floor(Date.now() / 1000));
    await driver.open();
    const first = await driver.read();
    expect(first).toMatchObject({ cmd: READ, type: 0, ret: 0, usedLength: 8 + 40 + 4 });
    expect(first.record?.info).toEqual({
      id: 1n,
      count: 0,
      type: DMESG,
      flags: 0,
      len: 4,
      seconds: 1111111111n,
      nanoseconds: 250000000,
    });
    const second = await driver.read();
    expect(second).toMatchObject({ ret: 0, usedLength: 8 + 40 + 3 });
    expect(second.record?.info).toMatchObject({ id: 2n, type: DMESG, flags: COMPRESSED, len: 3 });
    const age = before - (second.record?.info.seconds ?? 0n);
    expect(age >= -1n && age <= 60n).toBe(true);
  });

  test("pstore: at the walk's end, and ever after, ret is 0 and the used length 8", async () => {
    const { driver } = await startGuest();
    await writeAll(driver, 1);
    await driver.open();
    expect((await driver.read()).record).toBeDefined();
    for (let i = 0; i < 3; i++) {
      expect(await driver.read()).toEqual({ cmd: READ, type: 0, ret: 0, usedLength: 8 });
    }
  });

  test("pstore: an empty store's walk ends at once", async () => {
    const { driver } = await startGuest();
    await driver.open();
    expect(await driver.read()).toEqual({ cmd: READ, type: 0, ret: 0, usedLength: 8 });
  });

  test("pstore: OPEN begins the walk anew, and shows what was written meanwhile", async () => {
    const { driver } = await startGuest();
    await writeAll(driver, 2);
    await driver.open();
    await driver.read();
    await driver.write({ type: DMESG }, Buffer.from("new"));
    await driver.open();
    const seen: (bigint | undefined)[] = [];
    for (let i = 0; i < 4; i++) seen.push((await driver.read()).record?.info.id);
    expect(seen).toEqual([1n, 2n, 3n, undefined]);
  });

  test("pstore: READ without OPEN, after CLOSE and after a reset: -EBADF", async () => {
    const guest = await startGuest();
    const { driver } = guest;
    await writeAll(driver, 2);
    const refused = { cmd: READ, ret: -errno.EBADF, usedLength: 8 };
    expect(await driver.read()).toMatchObject(refused);
    await driver.open();
    expect((await driver.read()).record).toBeDefined();
    await driver.close();
    expect(await driver.read()).toMatchObject(refused);
    await driver.open();
    await resetGuest(guest);
    expect(await driver.read()).toMatchObject(refused);
  });

  test.each([8, 9, 47])(
    "pstore: READ with %i bytes of room has none for a fileinfo: -EINVAL, and the walk stands still",
    async (room) => {
      const { driver, frontEnd } = await startGuest();
      await writeAll(driver, 1);
      await driver.open();
      const prepared = driver.prepare(driver.readQueue, [encodeRequest({ cmd: READ })], [room]);
      driver.readQueue.offer(prepared.head);
      await frontEnd.until(() => driver.readQueue.collect() >= 0, "the answer");
      const { usedLength } = driver.readQueue;
      expect(decodeResponse(prepared.writable, usedLength)).toEqual({
        cmd: READ,
        type: 0,
        ret: -errno.EINVAL,
        usedLength: 8,
      });
      expect((await driver.read()).record?.info.id).toBe(1n);
    },
  );

  test("pstore: a guest's walk shows none of another guest's records", async () => {
    const one = await startGuest();
    const other = await startGuest({ loop: one.loop });
    await writeAll(one.driver, 2);
    expect(await other.driver.walk()).toEqual([]);
    expect(await ids(one.driver)).toEqual([1n, 2n]);
  });
});

describe("a record larger than the driver's buffer", () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));

  test("pstore: of text the newest bytes come", async () => {
    const { driver } = await startGuest({}, { bufsize: 100 });
    await driver.write({ type: DMESG }, bytes);
    const [record] = await driver.walk();
    expect(record?.info.len).toBe(100);
    expect(record?.data).toEqual(bytes.subarray(900));
  });

  test("pstore: of a compressed record the first bytes come", async () => {
    const { driver } = await startGuest({}, { bufsize: 100 });
    await driver.write({ type: DMESG, flags: COMPRESSED }, bytes);
    const [record] = await driver.walk();
    expect(record?.info.len).toBe(100);
    expect(record?.data).toEqual(bytes.subarray(0, 100));
  });

  test("pstore: with room for the fileinfo alone, no data comes", async () => {
    const { driver } = await startGuest({}, { bufsize: 0 });
    await driver.write({ type: DMESG }, bytes);
    await driver.open();
    const { record, ...response } = await driver.read();
    expect(response).toMatchObject({ ret: 0, usedLength: 48 });
    expect(record?.info).toMatchObject({ id: 1n, len: 0 });
  });

  test("pstore: a buffer of exactly the record's size holds all of it", async () => {
    const { driver } = await startGuest({}, { bufsize: 1000 });
    await driver.write({ type: DMESG }, bytes);
    expect((await driver.walk())[0]?.data).toEqual(bytes);
  });
});

describe("records that go while a walk is under way", () => {
  test("pstore: records that were erased meanwhile are passed over", async () => {
    const { driver } = await startGuest();
    await writeAll(driver, 4);
    await driver.open();
    expect((await driver.read()).record?.info.id).toBe(1n);
    expect(await driver.erase(DMESG, 2n)).toMatchObject({ ret: 0 });
    expect(await driver.erase(DMESG, 3n)).toMatchObject({ ret: 0 });
    expect((await driver.read()).record?.info.id).toBe(4n);
    expect((await driver.read()).record).toBeUndefined();
  });

  test("pstore: files that the host's owner removed or replaced meanwhile are passed over", async () => {
    const { driver, directory, log } = await startGuest();
    await writeAll(driver, 5);
    await driver.open();
    const path = (id: number) => join(directory, `dmesg-${id}`);
    for (const id of [1, 2, 3]) rmSync(path(id));
    writeFileSync(join(directory, "secret"), "secret");
    symlinkSync("secret", path(2));
    mkdirSync(path(3));
    expect((await driver.read()).record?.info.id).toBe(4n);
    expect((await driver.read()).record?.info.id).toBe(5n);
    expect(await driver.read()).toMatchObject({ ret: 0, usedLength: 8 });
    // The link: what could not be read is told to the operator.
    expect(log.map(({ code }) => code)).toEqual(["STORE"]);
  });
});

describe("consoles", () => {
  test("pstore: the console that is being written isn't shown", async () => {
    const { driver } = await startGuest();
    await driver.write({ type: CONSOLE }, Buffer.from("line\n"));
    await driver.write({ type: DMESG }, Buffer.from("dump"));
    expect(await ids(driver)).toEqual([2n]);
  });

  test("pstore: the console of a former boot is shown, and appended to no more", async () => {
    const guest = await startGuest();
    const { driver } = guest;
    await driver.write({ type: CONSOLE }, Buffer.from("first boot\n"));
    await resetGuest(guest);
    await driver.write({ type: CONSOLE }, Buffer.from("second boot\n"));
    const [record, ...more] = await driver.walk();
    expect(record?.info).toMatchObject({ id: 1n, type: CONSOLE, flags: 0, len: 11 });
    expect(record?.data.toString()).toBe("first boot\n");
    expect(more).toEqual([]);
  });

  test("pstore: where CONSOLE isn't offered, consoles of former boots aren't shown", async () => {
    const first = await startGuest();
    await first.driver.write({ type: CONSOLE }, Buffer.from("line\n"));
    await first.driver.write({ type: DMESG }, Buffer.from("dump"));
    const { directory } = first;
    disconnectGuest(first);
    first.store.close();
    const { driver } = await startGuest({ directory, types: ["dmesg"] });
    expect(await ids(driver)).toEqual([2n]);
    expect(await driver.erase(CONSOLE, 1n)).toMatchObject({ ret: -errno.ENOENT });
  });
});
