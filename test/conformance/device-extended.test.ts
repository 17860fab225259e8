import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { DEFAULT_QUOTAS, DEFAULT_RATES } from "../../src/store/index.js";
import { closeAll } from "../support/in-process.js";
import {
  connectGuest,
  disconnectGuest,
  type PstoreHostOptions,
  pstoreHost,
  recordNames,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";
import { CONFIG_MAGIC, F_EXTENDED, F_PANIC_VQ } from "../support/pstore-wire.js";
import { config, F_VERSION_1, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const [DMESG, CONSOLE, FTRACE, PMSG] = [1, 2, 3, 4] as const;

const ALL = ["dmesg", "console", "ftrace", "pmsg"] as const;
const features = F_VERSION_1 | F_EXTENDED;
const bootA = Buffer.alloc(16, 0xaa);
const bootB = Buffer.alloc(16, 0xbb);
const text = Buffer.from("line\n");

const startExtended = (host: PstoreHostOptions = {}, bootId?: Uint8Array) =>
  startGuest({ types: ALL, ...host }, bootId === undefined ? { features } : { features, bootId });

describe("feature bits", () => {
  test("pstore: EXTENDED and PANIC_VQ are offered", async () => {
    const { frontEnd } = await startGuest();
    const offered = await frontEnd.askU64(VU.GET_FEATURES);
    expect(offered & (F_EXTENDED | F_PANIC_VQ)).toBe(F_EXTENDED | F_PANIC_VQ);
  });

  test("pstore: with PANIC_VQ any command is taken on queue 2", async () => {
    const { driver, directory } = await startGuest(
      {},
      {
        features: F_VERSION_1 | F_PANIC_VQ,
        panicQueue: true,
      },
    );
    const [, , panic] = driver.queues;
    expect(await driver.write({ type: DMESG }, text, panic)).toMatchObject({ ret: 0 });
    expect(await driver.request({ cmd: 1 }, panic)).toMatchObject({ ret: 0 });
    expect((await driver.read()).record?.data).toEqual(text);
    expect(recordNames(directory)).toEqual(["dmesg-1"]);
  });

  test("pstore: queue 2 goes on where queue 1 can't be used any more", async () => {
    const { driver, frontEnd } = await startGuest(
      {},
      {
        features: F_VERSION_1 | F_PANIC_VQ,
        panicQueue: true,
      },
    );
    driver.writeQueue.setAvailableIndex(driver.writeQueue.nextAvailable + 1000);
    driver.writeQueue.kick();
    await frontEnd.until(() => driver.writeQueue.errors() > 0, "the error notification");
    expect(await driver.write({ type: DMESG }, text, driver.queues[2])).toMatchObject({ ret: 0 });
  });
});

describe("configuration space with EXTENDED", () => {
  test("pstore: types and max_data tell what is taken, boot_id is 0", async () => {
    const { driver } = await startExtended({ types: ["dmesg", "ftrace"], maxData: 1 << 18 });
    expect(await driver.extendedConfig()).toEqual({
      bufsize: 16384,
      flags: 0,
      types: (1 << DMESG) | (1 << FTRACE),
      maxData: 1 << 18,
      bootId: "0".repeat(32),
      magic: CONFIG_MAGIC,
    });
  });

  test("pstore: types, max_data and magic are read-only, boot_id is writable; a reset restores all", async () => {
    const guest = await startExtended();
    const { driver, frontEnd } = guest;
    const before = await driver.extendedConfig();
    // QEMU writes the whole space, whichever byte the driver wrote.
    await frontEnd.tell(VU.SET_CONFIG, config(0, 40, Buffer.alloc(40, 0x11)));
    const written = { ...before, bufsize: 0x1111_1111, bootId: "11".repeat(16) };
    expect(await driver.extendedConfig()).toEqual(written);
    await frontEnd.tell(VU.SET_CONFIG, config(30, 8, Buffer.alloc(8, 0x22)));
    expect((await driver.extendedConfig()).bootId).toBe(`${"11".repeat(14)}2222`);
    await resetGuest(guest, { features });
    expect(await driver.extendedConfig()).toEqual(before);
  });

  test("pstore: max_data bounds a WRITE, where it is more than bufsize's bound", async () => {
    const { driver } = await startExtended({ maxData: 200_000 });
    const data = Buffer.alloc(200_001);
    expect(await driver.write({ type: DMESG }, data)).toMatchObject({ ret: -errno.EMSGSIZE });
    expect(await driver.write({ type: FTRACE }, data.subarray(1))).toMatchObject({ ret: 0 });
    const least = await startExtended({ maxData: 4096 });
    expect(await least.driver.write({ type: DMESG }, Buffer.alloc(65536))).toMatchObject({
      ret: 0,
    });
  });
});

describe("types", () => {
  test("pstore: FTRACE makes a record, PMSG a stream", async () => {
    const { driver, directory } = await startExtended();
    for (const type of [FTRACE, PMSG, PMSG, FTRACE]) {
      expect(await driver.write({ type }, text)).toMatchObject({ type, ret: 0 });
    }
    expect(recordNames(directory)).toEqual(["ftrace-1", "ftrace-3", "pmsg-2"]);
    expect(readFileSync(join(directory, "pmsg-2"), "utf8")).toBe("line\nline\n");
  });

  test("pstore: FTRACE has no flags: -EINVAL", async () => {
    const { driver } = await startExtended();
    expect(await driver.write({ type: FTRACE, flags: 1 }, text)).toMatchObject({
      ret: -errno.EINVAL,
    });
  });

  test.each([CONSOLE, FTRACE, PMSG])(
    "pstore: WRITE of type %i where only dmesg is taken: -EINVAL",
    async (type) => {
      const { driver, directory } = await startExtended({ types: ["dmesg"] });
      expect(await driver.write({ type }, text)).toMatchObject({ ret: -errno.EINVAL });
      expect(recordNames(directory)).toEqual([]);
    },
  );

  test("pstore: a driver without EXTENDED isn't shown FTRACE and PMSG", async () => {
    const first = await startExtended();
    for (const type of [FTRACE, PMSG, DMESG]) await first.driver.write({ type }, text);
    disconnectGuest(first);
    const { driver } = await connectGuest(first);
    expect((await driver.walk()).map(({ info }) => info.type)).toEqual([DMESG]);
  });

  test("pstore: a driver with EXTENDED is shown all types that are taken", async () => {
    const first = await startExtended();
    for (const type of [FTRACE, PMSG, CONSOLE, DMESG]) await first.driver.write({ type }, text);
    disconnectGuest(first);
    const { driver } = await connectGuest(first, { features });
    const shown = (await driver.walk()).map(({ info }) => info.type);
    expect(shown).toEqual([FTRACE, PMSG, CONSOLE, DMESG]);
    expect(await driver.erase(PMSG, 2n)).toMatchObject({ ret: 0 });
    expect((await driver.walk()).map(({ info }) => info.type)).toEqual([FTRACE, CONSOLE, DMESG]);
  });
});

describe("boot ids", () => {
  const consoles = (directory: string) =>
    recordNames(directory).map((name) => [name, readFileSync(join(directory, name), "utf8")]);
  const write = (guest: Awaited<ReturnType<typeof startGuest>>, line: string) =>
    guest.driver.write({ type: CONSOLE }, Buffer.from(`${line}\n`));

  test("pstore: the same boot id after a reset continues the boot's streams", async () => {
    const guest = await startExtended({}, bootA);
    await write(guest, "one");
    await resetGuest(guest, { features, bootId: bootA });
    // It is the current boot's, though nothing was appended since.
    expect(await guest.driver.walk()).toEqual([]);
    expect(await guest.driver.erase(CONSOLE, 1n)).toMatchObject({ ret: -errno.ENOENT });
    await write(guest, "two");
    await resetGuest(guest, { features, bootId: bootB });
    await write(guest, "three");
    expect(consoles(guest.directory)).toEqual([
      ["console-1", "one\ntwo\n"],
      ["console-2", "three\n"],
    ]);
    const [former, ...more] = await guest.driver.walk();
    expect(former?.data.toString()).toBe("one\ntwo\n");
    expect(more).toEqual([]);
  });

  test("pstore: the same boot id on a new connection and after a restart continues, too", async () => {
    const first = await startExtended({}, bootA);
    await write(first, "one");
    disconnectGuest(first);
    const second = await connectGuest(first, { features, bootId: bootA });
    await write(second, "two");
    disconnectGuest(second);
    first.store.close();
    const third = await startExtended({ directory: first.directory }, bootA);
    await write(third, "three");
    expect(consoles(first.directory)).toEqual([["console-1", "one\ntwo\nthree\n"]]);
  });

  test("pstore: without a boot id a reset and a connection begin a boot", async () => {
    const guest = await startExtended({}, bootA);
    await write(guest, "one");
    await resetGuest(guest, { features });
    await write(guest, "two");
    await resetGuest(guest, { features });
    await write(guest, "three");
    expect(consoles(guest.directory).map(([, lines]) => lines)).toEqual([
      "one\n",
      "two\n",
      "three\n",
    ]);
  });

  test("pstore: a boot id that is written after the first request means nothing", async () => {
    const guest = await startExtended({}, bootA);
    await write(guest, "one");
    await guest.driver.writeBootId(bootB);
    await write(guest, "two");
    expect(consoles(guest.directory)).toEqual([["console-1", "one\ntwo\n"]]);
  });

  test("pstore: each stream type of a boot has its own file, and all go on", async () => {
    const guest = await startExtended({}, bootA);
    for (let i = 0; i < 2; i++) {
      await guest.driver.write({ type: PMSG }, text);
      await write(guest, "line");
      await resetGuest(guest, { features, bootId: bootA });
    }
    expect(consoles(guest.directory)).toEqual([
      ["console-2", "line\nline\n"],
      ["pmsg-1", "line\nline\n"],
    ]);
  });
});

describe("quota", () => {
  test.each([
    [FTRACE, "ftrace"],
    [DMESG, "dmesg"],
  ] as const)(
    "pstore: type %i's quota is used up: the first and the newest are kept, and other types go on",
    async (type, name) => {
      const quotas = { ...DEFAULT_QUOTAS, [name]: { records: 2, bytes: 100 } };
      const { driver, directory } = await startExtended({ quotas });
      const answers: number[] = [];
      for (let i = 0; i < 3; i++) answers.push((await driver.write({ type }, text)).ret);
      expect(answers).toEqual([0, 0, 0]);
      expect(recordNames(directory)).toEqual([`${name}-1`, `${name}-3`]);
      expect(await driver.write({ type }, Buffer.alloc(101))).toMatchObject({ ret: -errno.ENOSPC });
      for (const other of [DMESG, CONSOLE, FTRACE, PMSG].filter((one) => one !== type)) {
        expect(await driver.write({ type: other }, text)).toMatchObject({ ret: 0 });
      }
    },
  );

  test("pstore: a stream's quota is used up: its beginning and its newest are kept, and other types go on", async () => {
    const quotas = { ...DEFAULT_QUOTAS, console: { records: 3, bytes: 800 } };
    const { driver, directory } = await startExtended({ quotas });
    for (const letter of "abcde") {
      const data = Buffer.alloc(99, letter);
      expect(await driver.write({ type: CONSOLE }, data)).toMatchObject({ ret: 0 });
    }
    expect(await driver.write({ type: PMSG }, text)).toMatchObject({ ret: 0 });
    const kept = recordNames(directory)
      .filter((name) => name.startsWith("console"))
      .map((name) => readFileSync(join(directory, name), "utf8")[0]);
    expect(kept).toEqual(["a", expect.any(String), "e"]);
    // None of them is shown while its boot goes on.
    expect((await driver.walk()).map(({ info }) => info.type)).not.toContain(CONSOLE);
  });
});

describe("rates", () => {
  test("pstore: a panic that prints 10 MB, with a log and a trace of 2 MB each, is taken whole by default", async () => {
    const { driver, directory } = await startExtended({ rates: DEFAULT_RATES });
    for (const [type, name, bytes, count] of [
      [DMESG, "dmesg", 128 << 10, 16],
      [FTRACE, "ftrace", 128 << 10, 16],
      [CONSOLE, "console", 64 << 10, 160],
    ] as const) {
      for (let i = 0; i < count; i++) {
        expect(await driver.write({ type }, Buffer.alloc(bytes, `${i}`))).toMatchObject({ ret: 0 });
      }
      const sizes = recordNames(directory)
        .filter((record) => record.startsWith(name))
        .map((record) => statSync(join(directory, record)).size);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(bytes * count);
    }
  });

  test("pstore: beyond its rate a type is -EBUSY, others go on", async () => {
    const slow = {
      bytes: { perSecond: 1, burst: 100 },
      requests: { perSecond: 1, burst: 2 },
    };
    const rates = { dmesg: slow, console: slow };
    const { driver, directory } = await startExtended({ rates });
    for (const type of [DMESG, CONSOLE]) {
      const write = async () => (await driver.write({ type }, text)).ret;
      expect([await write(), await write(), await write()]).toEqual([0, 0, -errno.EBUSY]);
    }
    for (const type of [FTRACE, PMSG]) {
      expect(await driver.write({ type }, text)).toMatchObject({ ret: 0 });
    }
    expect(recordNames(directory)).toEqual([
      "console-3",
      "dmesg-1",
      "dmesg-2",
      "ftrace-4",
      "pmsg-5",
    ]);
  });
});

test("pstore: what the host compresses is given back as it was sent", async () => {
  const host = pstoreHost({ compress: true, types: ALL });
  const { driver, directory } = await connectGuest(host, { features });
  const long = Buffer.from("Panic#1 Part1\n".concat("a line of text\n".repeat(3000)));
  await driver.write({ type: DMESG }, long);
  await driver.write({ type: DMESG, flags: 1 }, text);
  await driver.write({ type: FTRACE }, text);
  await driver.write({ type: CONSOLE }, text);
  expect(recordNames(directory)).toEqual([
    "console-4",
    "dmesg-1.gz",
    "dmesg-2.enc.z",
    "ftrace-3.gz",
  ]);
  const stored = readFileSync(join(directory, "dmesg-1.gz"));
  expect(stored.length).toBeLessThan(long.length / 10);
  expect(gunzipSync(stored)).toEqual(long);
  const [first, second, third] = await driver.walk();
  // More than there is room for: the newest text.
  expect(first?.info).toMatchObject({ type: DMESG, flags: 0, len: 16384 });
  expect(first?.data).toEqual(long.subarray(-16384));
  expect(second?.info.flags).toBe(1);
  expect(third?.data).toEqual(text);
  expect(await driver.erase(DMESG, 1n)).toMatchObject({ ret: 0 });
});
