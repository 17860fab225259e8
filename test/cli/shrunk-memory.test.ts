import { ftruncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam, MIB } from "../support/guest-ram.js";
import { startPstoreDriver } from "../support/pstore-driver.js";
import { connect, serve, stop, temporaryFolder } from "./support.js";

const DMESG = 1;
const text = Buffer.from("Panic#1 Part1\na good guest\n");

test("a front-end that shortens its guest's memory costs others a restart, and isn't served again at once", async () => {
  const folder = temporaryFolder();
  const [good, bad] = [join(folder, "good"), join(folder, "bad")];
  const guests = ["--guest", `good=${good}`, "--guest", `bad=${bad}`];
  const server = await serve([...guests, "--directory", join(folder, "records")]);
  const other = await connect(good);
  expect(await other.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });

  const frontEnd = FakeFrontEnd.connect(bad);
  const ram = new GuestRam([{ guestAddress: 0n, size: MIB, unsealed: true }]);
  const { writeQueue, readQueue } = await startPstoreDriver(frontEnd, ram);
  await server.says(/bad: warn: the guest's memory isn't sealed .*\[UNSEALED_MEMORY\]/);
  ftruncateSync(ram.region(0).fd, 0);
  writeQueue.kick();
  await server.says(/the back-end ended \(SIGBUS\) and was started again/);
  expect(await other.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  await server.says(/bad: error: the connection is closed: mmap/);

  const again = FakeFrontEnd.connect(bad);
  again.send(1);
  await sleep(500);
  expect(again.waitingMessages()).toBe(0);
  expect(await other.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  for (const one of [again, frontEnd, writeQueue, readQueue, ram]) one.close();
  await stop(server);
});
