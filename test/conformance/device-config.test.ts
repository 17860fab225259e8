import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { FakeFrontEnd } from "../support/fake-front-end.js";
import { closeAll } from "../support/in-process.js";
import {
  connectGuest,
  disconnectGuest,
  recordNames,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";
import { config, u64, VU } from "../support/vhost-user-wire.js";

afterEach(closeAll);

const [DMESG, CONSOLE] = [1, 2] as const;

describe("configuration space", () => {
  test.each([
    [16384, true, 1],
    [16384, false, 0],
    [1 << 20, true, 1],
  ])("pstore: bufsize is %i, and flags tell CONSOLE (%s)", async (bufsize, console, flags) => {
    const { driver } = await startGuest({
      bufsize,
      types: console ? ["dmesg", "console"] : ["dmesg"],
    });
    expect(await driver.config()).toEqual({ bufsize, flags });
  });

  test("pstore: the driver writes back the bufsize that it uses; a reset restores the device's", async () => {
    const guest = await startGuest();
    const { driver } = guest;
    await driver.writeBufsize(65536);
    expect(await driver.config()).toEqual({ bufsize: 65536, flags: 1 });
    await resetGuest(guest);
    expect(await driver.config()).toEqual({ bufsize: 16384, flags: 1 });
  });

  test("pstore: a bufsize that the driver writes back doesn't change what is taken", async () => {
    const { driver } = await startGuest({ maxData: 4096 });
    await driver.writeBufsize(0xffff_ffff);
    expect(await driver.write({ type: DMESG }, Buffer.alloc(65537))).toMatchObject({ ret: -90 });
    await driver.writeBufsize(0);
    expect(await driver.write({ type: DMESG }, Buffer.alloc(65536))).toMatchObject({ ret: 0 });
  });

  test("pstore: bufsize may be written byte by byte; flags and what follows are read-only", async () => {
    const { driver, frontEnd } = await startGuest();
    await frontEnd.tell(VU.SET_CONFIG, config(1, 1, Uint8Array.of(0x12)));
    expect(await driver.config()).toEqual({ bufsize: 0x1200, flags: 1 });
    await frontEnd.tell(VU.SET_CONFIG, config(4, 4, Buffer.alloc(4, 0xff)));
    await frontEnd.tell(VU.SET_CONFIG, config(7, 2, Buffer.alloc(2, 0xff)));
    await frontEnd.tell(VU.SET_CONFIG, config(8, 8, Buffer.alloc(8, 0xff)));
    expect(await driver.config()).toEqual({ bufsize: 0x1200, flags: 1 });
    await frontEnd.tell(VU.SET_CONFIG, config(0, 8, Buffer.alloc(8, 0x11)));
    expect(await driver.config()).toEqual({ bufsize: 0x1111_1111, flags: 1 });
    await frontEnd.tell(VU.SET_CONFIG, config(3, 5, Buffer.alloc(5, 0x22)));
    expect(await driver.config()).toEqual({ bufsize: 0x2211_1111, flags: 1 });
  });

  test("pstore: drivers that know only bufsize read 4 bytes", async () => {
    const { frontEnd } = await startGuest();
    const reply = await frontEnd.ask(VU.GET_CONFIG, config(0, 4));
    expect([...reply.subarray(12)]).toEqual([0, 0x40, 0, 0]);
  });
});

describe("boots", () => {
  const line = (text: string) => Buffer.from(`${text}\n`);

  test.each([
    ["SET_STATUS 0", (frontEnd: FakeFrontEnd) => frontEnd.must(VU.SET_STATUS, u64(0n))],
    ["RESET_DEVICE", (frontEnd: FakeFrontEnd) => frontEnd.must(VU.RESET_DEVICE)],
    ["nothing but stopped rings", () => Promise.resolve()],
  ])("pstore: a reset begins a boot, whose console is a file of its own: %s", async (_, tell) => {
    const guest = await startGuest();
    await guest.driver.write({ type: CONSOLE }, line("one"));
    await resetGuest(guest, { tell });
    await guest.driver.write({ type: CONSOLE }, line("two"));
    expect(recordNames(guest.directory)).toEqual(["console-1", "console-2"]);
    expect(readFileSync(join(guest.directory, "console-1"), "utf8")).toBe("one\n");
    expect(readFileSync(join(guest.directory, "console-2"), "utf8")).toBe("two\n");
  });

  test("pstore: a new connection begins a boot", async () => {
    const first = await startGuest();
    await first.driver.write({ type: CONSOLE }, line("one"));
    disconnectGuest(first);
    const second = await connectGuest(first);
    expect((await second.driver.walk()).map(({ data }) => data)).toEqual([line("one")]);
    await second.driver.write({ type: CONSOLE }, line("two"));
    expect(recordNames(first.directory)).toEqual(["console-1", "console-2"]);
  });

  test("pstore: boots without console data leave no files", async () => {
    const guest = await startGuest();
    for (let i = 0; i < 3; i++) await resetGuest(guest);
    expect(recordNames(guest.directory)).toEqual([]);
  });

  test("pstore: records of all boots are shown, those of the current one too", async () => {
    const guest = await startGuest();
    await guest.driver.write({ type: DMESG }, line("one"));
    await resetGuest(guest);
    await guest.driver.write({ type: DMESG }, line("two"));
    expect((await guest.driver.walk()).map(({ data }) => data)).toEqual([line("one"), line("two")]);
  });
});
