import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { closeAll } from "../support/in-process.js";
import {
  connectGuest,
  disconnectGuest,
  type PstoreGuest,
  pstoreHost,
  recordNames,
  resetGuest,
  startGuest,
} from "../support/pstore-in-process.js";

afterEach(closeAll);

const ERASE = 4;
const [UNKNOWN, DMESG, CONSOLE] = [0, 1, 2] as const;

async function write(guest: PstoreGuest, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await guest.driver.write({ type: DMESG }, Buffer.from("text"));
}

const ids = async ({ driver }: PstoreGuest) => (await driver.walk()).map(({ info }) => info.id);

describe.each(["keep", "remove"] as const)("ERASE, on-erase %s", (onErase) => {
  test("pstore: ERASE hides that record and no other", async () => {
    const guest = await startGuest({ onErase });
    await write(guest, 12);
    expect(await guest.driver.erase(DMESG, 1n, 5)).toEqual({
      cmd: ERASE,
      type: DMESG,
      ret: 0,
      usedLength: 8,
    });
    expect(await guest.driver.erase(DMESG, 12n)).toMatchObject({ ret: 0 });
    expect(await ids(guest)).toEqual([2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n, 11n]);
    const gone = onErase === "keep" ? [] : ["dmesg-1", "dmesg-12"];
    const all = Array.from({ length: 12 }, (_, i) => `dmesg-${i + 1}`);
    expect(recordNames(guest.directory)).toEqual(all.filter((n) => !gone.includes(n)).sort());
  });

  test("pstore: ERASE of what isn't there, or not any more: -ENOENT", async () => {
    const guest = await startGuest({ onErase });
    await write(guest, 2);
    const missing = { ret: -errno.ENOENT, usedLength: 8 };
    expect(await guest.driver.erase(DMESG, 3n)).toMatchObject(missing);
    expect(await guest.driver.erase(DMESG, 0n)).toMatchObject(missing);
    expect(await guest.driver.erase(DMESG, (1n << 64n) - 1n)).toMatchObject(missing);
    expect(await guest.driver.erase(CONSOLE, 1n)).toMatchObject(missing);
    expect(await guest.driver.erase(UNKNOWN, 1n)).toMatchObject(missing);
    expect(await guest.driver.erase(DMESG, 1n)).toMatchObject({ ret: 0 });
    expect(await guest.driver.erase(DMESG, 1n)).toMatchObject(missing);
    rmSync(join(guest.directory, "dmesg-2"));
    expect(await guest.driver.erase(DMESG, 2n)).toMatchObject(missing);
    expect(await ids(guest)).toEqual([]);
  });

  test("pstore: what was erased stays hidden after a reset, a new connection and a restart", async () => {
    const guest = await startGuest({ onErase });
    await write(guest, 3);
    await guest.driver.erase(DMESG, 2n);
    await resetGuest(guest);
    expect(await ids(guest)).toEqual([1n, 3n]);
    disconnectGuest(guest);
    const again = await connectGuest(guest);
    expect(await ids(again)).toEqual([1n, 3n]);
    disconnectGuest(again);
    guest.store.close();
    const restarted = await connectGuest(pstoreHost({ directory: guest.directory, onErase }));
    expect(await ids(restarted)).toEqual([1n, 3n]);
    expect(await restarted.driver.erase(DMESG, 2n)).toMatchObject({ ret: -errno.ENOENT });
    await write(restarted, 1);
    expect(await ids(restarted)).toEqual([1n, 3n, 4n]);
  });

  test("pstore: a compressed record is erased by its id", async () => {
    const guest = await startGuest({ onErase });
    await guest.driver.write({ type: DMESG, flags: 1 }, Buffer.from([1]));
    expect(await guest.driver.erase(DMESG, 1n)).toMatchObject({ ret: 0 });
    expect(await ids(guest)).toEqual([]);
    expect(recordNames(guest.directory)).toEqual(onErase === "keep" ? ["dmesg-1.enc.z"] : []);
  });

  test("pstore: a former boot's console is erased, the current one isn't", async () => {
    const guest = await startGuest({ onErase });
    await guest.driver.write({ type: CONSOLE }, Buffer.from("old\n"));
    expect(await guest.driver.erase(CONSOLE, 1n)).toMatchObject({ ret: -errno.ENOENT });
    await resetGuest(guest);
    await guest.driver.write({ type: CONSOLE }, Buffer.from("new\n"));
    expect(await guest.driver.erase(CONSOLE, 1n)).toMatchObject({ ret: 0 });
    expect(await ids(guest)).toEqual([]);
    expect(readFileSync(join(guest.directory, "console-2"), "utf8")).toBe("new\n");
    await guest.driver.write({ type: CONSOLE }, Buffer.from("more\n"));
    expect(readFileSync(join(guest.directory, "console-2"), "utf8")).toBe("new\nmore\n");
  });
});

test("pstore: with on-erase keep the host's file stays as it was", async () => {
  const guest = await startGuest({ onErase: "keep" });
  await guest.driver.write({ type: DMESG }, Buffer.from("evidence"));
  await guest.driver.erase(DMESG, 1n);
  expect(readFileSync(join(guest.directory, "dmesg-1"), "utf8")).toBe("evidence");
  expect(readFileSync(join(guest.directory, ".erased"), "utf8")).toBe("dmesg-1\n");
});

test("pstore: with on-erase remove exactly that file is removed", async () => {
  const guest = await startGuest({ onErase: "remove" });
  await write(guest, 3);
  const before = readdirSync(guest.directory);
  await guest.driver.erase(DMESG, 2n);
  expect(before.filter((name) => !readdirSync(guest.directory).includes(name))).toEqual([
    "dmesg-2",
  ]);
});
