import { chmodSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FakeFrontEnd } from "../support/fake-front-end.js";
import { GIB, GuestRam, MIB } from "../support/guest-ram.js";
import { startPstoreDriver } from "../support/pstore-driver.js";
import { tinyKernel } from "../support/tiny-kernel.js";
import { VU } from "../support/vhost-user-wire.js";
import { complaint, daemonOf, run, serve, stop, temporaryFolder } from "./support.js";

const MESSAGES = ["Linux version tiny", "one line", "another"];

interface Guest {
  readonly frontEnd: FakeFrontEnd;
  readonly ram: GuestRam;
}

/** A guest with a kernel of a few pages in its memory, which its front-end shares, and a driver that runs. */
async function guestAt(socket: string): Promise<Guest> {
  const { bytes } = tinyKernel({ messages: MESSAGES });
  // The kernel lies below the rest in the guest's addresses, and behind it in the file.
  const [rest, size] = [16n * MIB, BigInt(bytes.length)];
  const ram = new GuestRam([
    { guestAddress: 4n * GIB, size: rest },
    { guestAddress: 0n, size, fileOffset: rest, sameFile: true },
  ]);
  ram.bytes(0n, bytes.length).set(bytes);
  const frontEnd = FakeFrontEnd.connect(socket);
  await startPstoreDriver(frontEnd, ram);
  onTestFinished(() => {
    frontEnd.close();
    ram.close();
  });
  return { frontEnd, ram };
}

/** `serve` for one guest. */
async function serving(...options: readonly string[]) {
  const folder = temporaryFolder();
  const [socket, records] = [join(folder, "socket"), join(folder, "records")];
  const server = await serve(["--socket-path", socket, "--directory", records, ...options]);
  return { folder, socket, records, server };
}

/** What `inspect … log` shows of each message, and how it ended. */
async function logBy(...args: readonly string[]) {
  const { stdout, stderr, status } = await run(["inspect", ...args, "log"]);
  return { lines: stdout.trimEnd().split("\n"), stderr, status };
}

const WHOLE = {
  lines: MESSAGES.map((text) => expect.stringContaining(text)),
  stderr: "",
  status: 0,
};

async function expectRefused(why: string, ...args: readonly string[]): Promise<void> {
  const ended = await run(["inspect", ...args, "log"]);
  expect([ended.status, ended.stdout, complaint(ended)]).toEqual([
    1,
    "",
    [`virtio-pstore: ${why}`],
  ]);
}

/** How many descriptors of guests' memory a process has. */
const memoryFiles = (pid: number | undefined): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).includes("memfd:guest-ram");
    } catch {
      return false;
    }
  }).length;

test("a guest's memory is read where its front-end shares it with the daemon, also the next daemon", async () => {
  const { socket, records, server } = await serving();
  const { frontEnd } = await guestAt(socket);
  expect(await logBy("--control", records)).toEqual(WHOLE);
  const daemon = daemonOf(server) ?? 0;
  process.kill(daemon, "SIGKILL");
  await server.says(/was started again/);
  expect(await logBy("--control", join(records, ".control"))).toEqual(WHOLE);
  expect(memoryFiles(daemonOf(server))).toBe(2);
  frontEnd.close();
  await server.says(/front-end disconnected/);
  expect(memoryFiles(daemonOf(server))).toBe(0);
  await expectRefused(
    `the guest at ${records}: no VMM is connected to the daemon`,
    "--control",
    records,
  );
});

test("regions that go and come: the daemon has their files open as long as they are there", async () => {
  const { socket, records, server } = await serving();
  const { frontEnd, ram } = await guestAt(socket);
  const files = () => memoryFiles(daemonOf(server));
  const kernel = ram.region(1);
  expect(await frontEnd.removeRegion(kernel)).toBe(0n);
  expect(files()).toBe(1);
  const without = await run(["inspect", "--control", records, "log"]);
  expect(complaint(without)).toEqual([
    expect.stringMatching(/^virtio-pstore: the guest at .*: .*/),
  ]);
  expect(await frontEnd.addRegion(kernel)).toBe(0n);
  expect(await frontEnd.addRegion(kernel), "it is there already").not.toBe(0n);
  expect(await frontEnd.setMemoryTable(ram)).toBe(0n);
  expect(files()).toBe(2);
  expect(await logBy("--control", records)).toEqual(WHOLE);
});

test("one of several guests is named", async () => {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const guests = ["web", "db"].flatMap((name) => ["--guest", `${name}=${at(name)}`]);
  await serve([...guests, "--directory", at("records")]);
  await guestAt(at("db"));
  const control = at("records/.control");
  expect(await logBy("--control", at("records"), "--guest", "db")).toEqual(WHOLE);
  const json = await run(["inspect", "--control", control, "--guest", "db", "log", "--json"]);
  expect(JSON.parse(json.stdout)).toMatchObject({ source: "guest db" });
  await expectRefused(
    "guest web: no VMM is connected to the daemon",
    ...["--control", control, "--guest", "web"],
  );
  await expectRefused(
    `${control}: the daemon has no guest mail; its guests: web, db`,
    ...["--control", control, "--guest", "mail"],
  );
  await expectRefused(
    `${control}: the daemon has several guests; name one with --guest: web, db`,
    ...["--control", control],
  );
});

test("a guest without a name has none, and a front-end that shares no memory is told of", async () => {
  const { socket, records } = await serving();
  const frontEnd = FakeFrontEnd.connect(socket);
  onTestFinished(() => {
    frontEnd.close();
  });
  await frontEnd.ask(VU.GET_FEATURES);
  await expectRefused(
    `the guest at ${records}: its VMM shares no memory: QEMU does from the start of the guest's driver on, with ` +
      "share=on; read its process, with --pid",
    ...["--control", records],
  );
  await expectRefused(
    `${records}/.control: the daemon has one guest, without a name: leave --guest out`,
    ...["--control", records, "--guest", "web"],
  );
});

test("no daemon is there, or none that answers", async () => {
  const folder = temporaryFolder();
  const socket = join(folder, ".control");
  await expectRefused(
    `no daemon serves ${folder}: none listens at ${socket}; name its --directory, or its --control socket`,
    ...["--control", folder],
  );
  const other = join(folder, "other");
  writeFileSync(other, "");
  await expectRefused(
    `no daemon listens at ${other}: name the daemon's --control socket`,
    ...["--control", other],
  );
});

test.skipIf(process.geteuid?.() !== 0)(
  "whoever may ask the daemon may not read its guests' memory by that",
  async () => {
    const group = `${process.getegid?.()}`;
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    const at = (name: string) => join(folder, name);
    const paths = ["--socket-path", at("socket"), "--directory", at("records")];
    const server = await serve([...paths, "--control", at("control"), "--control-group", group]);
    await guestAt(at("socket"));
    const args = ["inspect", "--control", at("control"), "log"];
    // Nobody, but of our group.
    const refused = await run(args, { asNobody: true });
    expect([refused.status, complaint(refused)]).toEqual([
      1,
      [
        `virtio-pstore: the guest at ${at("control")}: the memory that the daemon, process ${daemonOf(server)}, has ` +
          "open may not be read: be the daemon's user, or root",
      ],
    ]);
    expect((await stop(server)).status).toBe(0);
  },
);
