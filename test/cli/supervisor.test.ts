import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { errno } from "../../src/os/index.js";
import { DEFAULT_RATES } from "../../src/store/index.js";
import { qemuStart, qemuStop } from "../support/negotiations.js";
import { memoryTable, VU } from "../support/vhost-user-wire.js";
import { complaint, connect, daemonOf, run, serve, stop, temporaryFolder } from "./support.js";

const [DMESG, CONSOLE, FTRACE] = [1, 2, 3] as const;
const text = Buffer.from("Panic#1 Part1\nlast words\n");

function paths() {
  const folder = temporaryFolder();
  const socket = join(folder, "socket");
  const records = join(folder, "records");
  return { folder, records, socket, args: ["--socket-path", socket, "--directory", records] };
}

/** Kills each daemon, as soon as it is started, while `flag` is there. */
function killer(folder: string): { readonly env: Record<string, string>; readonly flag: string } {
  const flag = join(folder, "kill");
  const preload = join(folder, "killer.cjs");
  writeFileSync(
    preload,
    `if (/daemon-process/.test(process.argv[1]) && require("node:fs").existsSync(${JSON.stringify(flag)})) {
      process.kill(process.pid, "SIGKILL");
    }`,
  );
  return { env: { NODE_OPTIONS: `--require ${preload}` }, flag };
}

test("a daemon that died is followed by another one, and that is told", async () => {
  const { args, socket, records } = paths();
  const server = await serve(args);
  for (const signal of ["SIGKILL", "SIGSEGV"] as const) {
    process.kill(daemonOf(server) ?? 0, signal);
    await server.says(new RegExp(`the back-end ended \\(${signal}\\) and was started again`));
  }
  const guest = await connect(socket);
  expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  expect(readdirSync(records)).toContain("dmesg-1");
  expect((await stop(server)).status).toBe(0);
  expect(existsSync(socket)).toBe(false);
});

test("what a driver wrote to the configuration space, and that it has started, outlives daemons; its reset is noticed by the next one", async () => {
  const { args, socket, records } = paths();
  const server = await serve([...args, "--types", "dmesg,ftrace,console"]);
  const kill = async (times: number) => {
    process.kill(daemonOf(server) ?? 0, "SIGKILL");
    await server.says(new RegExp(`(started again.*){${times}}`, "s"));
  };
  // Its VMM keeps the feature bits back, so its boot id says what it knows.
  const { driver, frontEnd } = await connect(socket, { bootId: Buffer.alloc(16, 0xaa) });
  const types = async () => (await driver.walk()).map(({ info }) => info.type);
  for (const type of [FTRACE, CONSOLE]) await driver.write({ type }, text);
  await server.says(/driver started: extended interface/);
  await kill(1);
  await driver.write({ type: CONSOLE }, text);
  expect(await types()).toEqual([FTRACE]);

  await qemuStop(frontEnd, driver.queues);
  await kill(2);
  for (const region of driver.ram.regions) await frontEnd.removeRegion(region);
  for (const queue of driver.queues) queue.restart();
  // One of 2016.
  await qemuStart(frontEnd, driver.ram, driver.queues);
  await driver.write({ type: CONSOLE }, text);
  expect(await types()).toEqual([CONSOLE]);
  const { stderr } = await stop(server);
  expect(stderr.match(/driver started: (extended interface|interface of 2016)/g)).toEqual([
    "driver started: extended interface",
    "driver started: interface of 2016",
  ]);
  expect(readFileSync(join(records, "console-2"))).toEqual(Buffer.concat([text, text]));
  expect(readFileSync(join(records, "console-3"))).toEqual(text);
});

test("why rings have no memory is known to the daemon that follows", async () => {
  const { args, socket } = paths();
  const server = await serve(args);
  const { frontEnd, driver } = await connect(socket);
  const table = memoryTable(driver.ram.regions);
  expect(await frontEnd.tell(VU.SET_MEM_TABLE, table, [])).toBe(1n);
  const why = "no guest memory is shared: SET_MEM_TABLE failed: 0 descriptors came for 1 regions";
  await server.says(new RegExp(`queue 1 was started, but ${why}`));
  process.kill(daemonOf(server) ?? 0, "SIGKILL");
  await server.says(/was started again/);
  await frontEnd.barrier();
  const { stderr } = await stop(server);
  expect(stderr.match(/queue 1 was started.*/g)).toEqual([
    expect.stringContaining(why),
    expect.stringContaining(why),
  ]);
});

test("daemons that die before they serve are given up at last, in one line", async () => {
  const { folder, args, socket } = paths();
  const { env, flag } = killer(folder);
  writeFileSync(flag, "");
  const ended = await run(["serve", ...args], { env });
  expect(ended.status).toBe(1);
  expect(complaint(ended)).toEqual([
    "virtio-pstore: the back-end died again and again (SIGKILL); it is given up",
  ]);
  expect(existsSync(socket)).toBe(false);
});

test("SIGTERM while no daemon runs ends the program", async () => {
  const { folder, args } = paths();
  const { env, flag } = killer(folder);
  const server = await serve(args, { env });
  writeFileSync(flag, "");
  process.kill(daemonOf(server) ?? 0, "SIGKILL");
  await sleep(1000);
  expect(await stop(server)).toMatchObject({ status: 0 });
});

test("a supervisor that is killed takes its daemon with it, and leaves nothing in /tmp", async () => {
  const { folder, args } = paths();
  const TMPDIR = join(folder, "tmp");
  mkdirSync(TMPDIR);
  const server = await serve(args, { env: { TMPDIR } });
  expect(await stop(server, "SIGKILL")).toMatchObject({ status: "SIGKILL" });
  expect(readdirSync(TMPDIR)).toEqual([]);
  // It would be in the way: it has the directory's lock, and serves the socket.
  expect((await stop(await serve(args))).status).toBe(0);
});

test("what a console lacks is noted in it once, though the daemons that knew of it were killed", async () => {
  const { args, socket, records } = paths();
  const server = await serve([...args, "--console"]);
  const { driver } = await connect(socket);
  const print = async () => (await driver.write({ type: CONSOLE }, Buffer.from("line\n"))).ret;
  let restarts = 0;
  const kill = async () => {
    process.kill(daemonOf(server) ?? 0, "SIGKILL");
    restarts++;
    await server.says(new RegExp(`(was started again[^]*){${restarts}}`));
  };
  expect(await print()).toBe(0);
  for (let i = 0; i < 2; i++) {
    renameSync(records, `${records}.old`);
    expect(await print()).toBe(-errno.ENOENT);
    renameSync(`${records}.old`, records);
    await kill();
  }
  expect(await print()).toBe(0);
  await kill();
  expect(await print()).toBe(0);
  expect(readFileSync(join(records, "console-1"), "utf8")).toBe(
    "line\n[virtio-pstore: 10 bytes are missing here]\nline\nline\n",
  );
});

test("a guest that has used up its rate gets nothing more by the daemon's end, and its panic still arrives", async () => {
  const { args, socket } = paths();
  const server = await serve([...args, "--console", "--rate", "console=1"]);
  const { driver } = await connect(socket);
  const lines = Buffer.alloc(65536, "a line\n");
  const print = async () => (await driver.write({ type: CONSOLE }, lines)).ret;
  for (let at = 0; at < DEFAULT_RATES.console.bytes.burst; at += lines.length) {
    expect(await print()).toBe(0);
  }
  for (const restarts of [1, 2, 3]) {
    expect(await print()).toBe(-errno.EBUSY);
    process.kill(daemonOf(server) ?? 0, "SIGKILL");
    await server.says(new RegExp(`(was started again[^]*){${restarts}}`));
  }
  expect(await print()).toBe(-errno.EBUSY);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  expect((await stop(server)).status).toBe(0);
});

test("a directory that can't be used at a restart is waited for, and other guests lose nothing", async () => {
  const { folder, records } = paths();
  const [good, bad] = [join(folder, "good"), join(folder, "bad")];
  const guests = ["--guest", `good=${good}`, "--guest", `bad=${bad}`];
  const server = await serve([...guests, "--directory", records]);
  const { driver } = await connect(good);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  renameSync(join(records, "bad"), join(folder, "moved"));
  writeFileSync(join(records, "bad"), "");
  process.kill(daemonOf(server) ?? 0, "SIGKILL");
  // More often than where none ever served.
  const refusals = () => server.stderr().match(/^virtio-pstore: .*records\/bad.*$/gm) ?? [];
  const before = refusals().length;
  while (refusals().length < before + 7) {
    expect(server.child.exitCode).toBe(null);
    await sleep(50);
  }
  rmSync(join(records, "bad"));
  renameSync(join(folder, "moved"), join(records, "bad"));
  await server.says(/the back-end ended \(SIGKILL\) and was started again/);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  expect((await stop(server)).status).toBe(0);
});
