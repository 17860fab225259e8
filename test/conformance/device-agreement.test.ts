import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { closeAll } from "../support/in-process.js";
import {
  connectGuest,
  disconnectGuest,
  type PstoreGuest,
  recordNames,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";
import { CONFIG_MAGIC, F_EXTENDED, F_PANIC_VQ } from "../support/pstore-wire.js";
import { config, F_VERSION_1, VU } from "../support/vhost-user-wire.js";

// Where a VMM keeps the feature bits below 24 from its guest, and passes the configuration space on.

afterEach(closeAll);

const [OPEN] = [1] as const;
const [DMESG, CONSOLE, FTRACE, PMSG] = [1, 2, 3, 4] as const;

const host = { types: ["dmesg", "console", "ftrace", "pmsg"] } as const;
/** What is left of the feature bits. */
const masked = { features: F_VERSION_1, panicQueue: true } as const;
const bootA = Buffer.alloc(16, 0xaa);
const bootB = Buffer.alloc(16, 0xbb);
const text = Buffer.from("line\n");

const read = async ({ frontEnd }: PstoreGuest, offset: number, size: number) =>
  (await frontEnd.ask(VU.GET_CONFIG, config(offset, size))).subarray(12);

const write = ({ frontEnd }: PstoreGuest, offset: number, bytes: Uint8Array) =>
  frontEnd.must(VU.SET_CONFIG, config(offset, bytes.length, bytes));

/** The types of all records that a walk shows. */
const shown = async ({ driver }: PstoreGuest) => (await driver.walk()).map(({ info }) => info.type);

describe("the magic", () => {
  const magic = Buffer.alloc(8);
  magic.writeBigUInt64LE(CONFIG_MAGIC);

  test.each([
    ["nothing", F_VERSION_1],
    ["EXTENDED", F_VERSION_1 | F_EXTENDED],
    ["everything", F_VERSION_1 | F_EXTENDED | F_PANIC_VQ],
  ])(
    "pstore: it is at byte 32, also after a reset, where %s was negotiated",
    async (_, features) => {
      const guest = await startGuest(host, { features });
      expect(await read(guest, 32, 8)).toEqual(magic);
      await resetGuest(guest, { features });
      // In two words, as Linux reads it, and as user-mode-linux does.
      expect(Buffer.concat([await read(guest, 32, 4), await read(guest, 36, 4)])).toEqual(magic);
      for (let size = 33; size <= 40; size++) {
        expect((await read(guest, 0, size)).subarray(32)).toEqual(magic.subarray(0, size - 32));
      }
    },
  );

  test("pstore: neither zeros nor ones are it, nor a part of either", () => {
    for (const half of [magic.readUInt32LE(0), magic.readUInt32LE(4)]) {
      expect(half).not.toBe(0);
      expect(half).not.toBe(0xffff_ffff);
    }
  });
});

describe("a driver that writes a boot id", () => {
  test("pstore: is served as if it had negotiated both bits", async () => {
    const guest = await startGuest(host, { ...masked, bootId: bootA });
    const { driver, directory } = guest;
    expect(await driver.write({ type: DMESG }, Buffer.alloc(1 << 20, "x"))).toMatchObject({
      ret: 0,
    });
    for (const type of [FTRACE, PMSG]) {
      expect(await driver.write({ type }, text, driver.queues[2])).toMatchObject({ ret: 0 });
    }
    expect(await driver.request({ cmd: OPEN }, driver.queues[2])).toMatchObject({ ret: 0 });
    expect(recordNames(directory)).toEqual(["dmesg-1", "ftrace-2", "pmsg-3"]);
    await resetGuest(guest, { ...masked, bootId: bootB });
    expect(await shown(guest)).toEqual([DMESG, FTRACE, PMSG]);
  });

  test("pstore: goes on with its boot's streams after a reset", async () => {
    const guest = await startGuest(host, { ...masked, bootId: bootA });
    await guest.driver.write({ type: CONSOLE }, text);
    await resetGuest(guest, { ...masked, bootId: bootA });
    await guest.driver.write({ type: CONSOLE }, text);
    expect(recordNames(guest.directory)).toEqual(["console-1"]);
  });

  test("pstore: goes on where its VMM connects anew, and repeats nothing of what it wrote", async () => {
    const first = await startGuest(host, { ...masked, bootId: bootA });
    await first.driver.write({ type: CONSOLE }, text);
    disconnectGuest(first);
    const { driver, directory } = await connectGuest(first, masked);
    expect(await driver.write({ type: DMESG }, Buffer.alloc(1 << 20, "x"))).toMatchObject({
      ret: 0,
    });
    expect(await driver.write({ type: FTRACE }, text)).toMatchObject({ ret: 0 });
    // Nothing says that it is the same boot.
    expect(await driver.write({ type: CONSOLE }, text)).toMatchObject({ ret: 0 });
    expect(recordNames(directory)).toEqual(["console-1", "console-4", "dmesg-2", "ftrace-3"]);
  });
});

describe("a driver of 2016", () => {
  test("pstore: is shown what it knows", async () => {
    const first = await startGuest(host, { ...masked, bootId: bootA });
    for (const type of [FTRACE, PMSG, CONSOLE, DMESG]) await first.driver.write({ type }, text);
    disconnectGuest(first);
    expect(await shown(await connectGuest(first))).toEqual([CONSOLE, DMESG]);
  });

  test("pstore: also where another one had the device before it, and its VMM writes the whole space at each access", async () => {
    const guest = await startGuest(host, { ...masked, bootId: bootA });
    for (const type of [FTRACE, CONSOLE]) await guest.driver.write({ type }, text);
    const { driver, frontEnd } = guest;
    // As virtio's core resets a device before it asks for its driver.
    for (const index of [0, 1, 2]) {
      await frontEnd.setRingState(VU.SET_VRING_ENABLE, index, 0);
      await frontEnd.getRingBase(index);
    }
    // QEMU keeps what was read last, and writes it back but for what the driver writes.
    const space = Buffer.from(await read(guest, 0, 40));
    space.writeUInt32LE(32768, 0);
    await write(guest, 0, space);
    expect(await driver.config()).toEqual({ bufsize: 32768, flags: 1 });
    await resetGuest(guest, masked);
    expect(await shown(guest)).toEqual([CONSOLE]);
    await driver.write({ type: CONSOLE }, Buffer.from("another\n"));
    expect(readFileSync(join(guest.directory, "console-2"), "utf8")).toBe("line\n");
    expect(readFileSync(join(guest.directory, "console-3"), "utf8")).toBe("another\n");
  });
});
