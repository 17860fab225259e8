import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { errno } from "../../src/os/index.js";
import type { DaemonStatus, GuestStatus } from "../../src/service/daemon/index.js";
import { until } from "../support/patience.js";
import {
  complaint,
  connect,
  daemonOf,
  program,
  run,
  script,
  serve,
  start,
  stop,
  stuckDisk,
  temporaryFolder,
} from "./support.js";

const [DMESG, CONSOLE] = [1, 2] as const;

const text = Buffer.from("last words");

function paths() {
  const folder = temporaryFolder();
  const [socket, records] = [join(folder, "socket"), join(folder, "records")];
  const control = join(records, ".control");
  return {
    folder,
    socket,
    records,
    control,
    args: ["--socket-path", socket, "--directory", records],
  };
}

async function statusAt(...args: readonly string[]): Promise<DaemonStatus> {
  const { stdout, stderr, status } = await run(["status", ...args, "--json"]);
  expect([stderr, status]).toEqual(["", 0]);
  return JSON.parse(stdout) as DaemonStatus;
}

async function guestAt(...args: readonly string[]): Promise<GuestStatus> {
  const [guest] = (await statusAt(...args)).guests;
  if (guest === undefined) throw new Error("no guest");
  return guest;
}

/** Milliseconds behind `from`, and not in the future. */
function expectTime(time: string | undefined, from: number): void {
  const ms = Date.parse(time ?? "");
  expect(ms).toBeGreaterThanOrEqual(from);
  expect(ms).toBeLessThanOrEqual(Date.now());
}

test("what a daemon knows of a guest, before it comes, while it is there, and when it is gone", async () => {
  const { args, socket, records } = paths();
  const from = Date.now() - 1;
  const server = await serve([...args, "--console", "--max-bytes", "dmesg=8M"]);
  const before = await statusAt(records);
  expect(before).toMatchObject({ pid: daemonOf(server), program: "0.1.0" });
  expectTime(before.since, from);
  expect(before.guests).toEqual([
    {
      guest: "",
      directory: records,
      quotas: [
        { type: "dmesg", records: 0, bytes: 0, maxRecords: 1000, maxBytes: 8 << 20 },
        { type: "ftrace", records: 0, bytes: 0, maxRecords: 1000, maxBytes: 256 << 20 },
        { type: "console", records: 0, bytes: 0, maxRecords: 1000, maxBytes: 1 << 30 },
      ],
      refused: { times: 0, bytes: 0 },
    },
  ]);
  const guest = await connect(socket);
  const write = (type: number, bytes: Buffer) => guest.driver.write({ type }, bytes);
  expect(await write(CONSOLE, Buffer.from("line\n"))).toMatchObject({ ret: 0 });
  expect(await write(DMESG, text)).toMatchObject({ ret: 0 });
  const there = await guestAt(records);
  expect(there).toMatchObject({
    driver: { state: "running", interface: "2016", types: ["dmesg", "console"], queues: 2 },
    lastDump: { name: "dmesg-2" },
    quotas: [
      { type: "dmesg", records: 1, bytes: 10 },
      { type: "ftrace", records: 0 },
      { type: "console", records: 1, bytes: 5 },
    ],
    refused: { times: 0, bytes: 0 },
  });
  for (const time of [there.connected, there.driver?.since, there.lastLine, there.lastDump?.time]) {
    expectTime(time, from);
  }
  guest.close();
  await server.says(/front-end disconnected/);
  const gone = await guestAt(records);
  expect([gone.connected, gone.driver]).toEqual([undefined, undefined]);
  expect(gone).toMatchObject({ lastLine: there.lastLine, lastDump: there.lastDump });
  expect((await stop(server)).status).toBe(0);
  expect(readdirSync(records)).not.toContain(".control");
});

test("what was refused", async () => {
  const { args, socket, records } = paths();
  await serve([...args, "--min-free", "1000G"]);
  const { driver } = await connect(socket);
  for (const bytes of [text, Buffer.alloc(2000, "x")]) {
    expect(await driver.write({ type: DMESG }, bytes)).toMatchObject({ ret: -errno.ENOSPC });
  }
  expect(await guestAt(records)).toMatchObject({ refused: { times: 2, bytes: 2010 } });
  expect((await run(["status", records])).stdout).toMatch(/ 2 \(2K\)$/m);
});

test("of several guests a line each, in the order in which they were named; the socket lies in DIR", async () => {
  const { folder, records, control } = paths();
  const at = (name: string) => join(folder, name);
  const guests = ["b", "a"].flatMap((name) => ["--guest", `${name}=${at(name)}`]);
  await serve([...guests, "--directory", records]);
  const { driver } = await connect(at("a"));
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  const { stdout, stderr } = await run(["status", records]);
  expect(stderr).toBe("");
  const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
  expect(rows).toEqual([
    ["GUEST", "CONNECTED", "DRIVER", "TYPES", "LINE", "DUMP", "QUOTA", "REFUSED"],
    ["b", "-", "-", "-", "-", "-", "dmesg 0%", "-"],
    [
      "a",
      expect.stringMatching(/^\d+s$/),
      expect.stringMatching(/^2016 \d+s$/),
      "dmesg",
      "-",
      expect.stringMatching(/^dmesg-1 \d+s$/),
      "dmesg 1%",
      "-",
    ],
    [""],
  ]);
  expect(statSync(control).mode & 0o777).toBe(0o600);
  // Nobody takes it for a record, or a guest.
  expect((await run(["list", records, "--records"])).stdout.split("\n")).toHaveLength(3);
  expect((await run(["list", records])).stderr).toBe("");
});

test("--control names another place, --control-group lets a group in", async () => {
  const { folder, args, records } = paths();
  const control = join(folder, "control");
  await serve([...args, "--control", control, "--control-group", "65534"]);
  const { mode, gid } = statSync(control);
  expect([mode & 0o777, gid]).toEqual([0o660, 65534]);
  expect(await guestAt("--control", control)).toMatchObject({ directory: records });
  expect(readdirSync(records)).not.toContain(".control");
});

test.skipIf(process.geteuid?.() !== 0)(
  "another user may ask by its group, and not else",
  async () => {
    const { folder, args } = paths();
    chmodSync(folder, 0o755);
    const control = join(folder, "control");
    // Nobody, but of our group.
    const asking = () => run(["status", "--control", control], { asNobody: true });
    const server = await serve([...args, "--control", control]);
    const refused = await asking();
    expect([refused.status, complaint(refused)]).toEqual([
      1,
      [`virtio-pstore: ${control}: permission denied`],
    ]);
    expect((await stop(server)).status).toBe(0);
    await serve([...args, "--control", control, "--control-group", `${process.getegid?.()}`]);
    expect(await asking()).toMatchObject({ status: 0, stderr: "" });
  },
);

test.each([
  ["nobody ever listened", (_: string) => undefined],
  [
    "a file lies where the socket should be",
    (folder: string) => {
      writeFileSync(join(folder, ".control"), "");
    },
  ],
])("%s: one line says that no daemon serves there, status 1", async (_, prepare) => {
  const folder = temporaryFolder();
  prepare(folder);
  const byPath = await run(["status", folder]);
  expect(byPath.status).toBe(1);
  const socket = join(folder, ".control");
  expect(complaint(byPath)).toEqual([
    `virtio-pstore: no daemon serves ${folder}: none listens at ${socket}; ` +
      "name its --directory, or its --control socket",
  ]);
  const bySocket = await run(["status", "--control", socket]);
  expect(bySocket.status).toBe(1);
  expect(complaint(bySocket)).toEqual([
    `virtio-pstore: no daemon listens at ${socket}: name the daemon's --control socket`,
  ]);
});

test("a serve that was killed leaves a socket: no daemon serves there, and the next serve takes its place", async () => {
  const { args, records, control } = paths();
  const server = await serve(args);
  const daemon = daemonOf(server) ?? 0;
  server.child.kill("SIGKILL");
  await server.ended;
  expect(lstatSync(control).isSocket()).toBe(true);
  await until(
    () => !existsSync(`/proc/${daemon}`),
    () => "the daemon outlived its supervisor",
  );
  const { status, stderr } = await run(["status", records]);
  expect([status, stderr]).toEqual([1, expect.stringContaining("no daemon serves")]);
  await serve(args);
  expect(await guestAt(records)).toMatchObject({ directory: records });
});

test.each([[["PATH", "--control", "s"]], [[]]])("status %j: refused, status 2", async (args) => {
  const ended = await run(["status", ...args]);
  expect(ended.status).toBe(2);
  expect(complaint(ended)[0]).toBe("virtio-pstore: status needs either PATH or --control SOCKET");
});

test("daemons that are killed while they are asked: the next one answers, and knows since when its guest is there", async () => {
  const { args, socket, records } = paths();
  const server = await serve(args);
  const { driver } = await connect(socket);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  const before = await statusAt(records);
  for (let i = 0; i < 3; i++) {
    const daemon = daemonOf(server);
    if (daemon === undefined) throw new Error("no daemon");
    // It can't answer, and is killed with the question unread.
    process.kill(daemon, "SIGSTOP");
    const asking = statusAt(records);
    process.kill(daemon, "SIGKILL");
    const after = await asking;
    expect(after.pid).not.toBe(daemon);
    const { connected, driver: was } = before.guests[0] ?? {};
    expect(after.guests[0]).toMatchObject({
      connected,
      driver: was,
      lastDump: { name: "dmesg-1" },
    });
  }
});

test("a directory that was removed and made again has the socket again, too", async () => {
  const { args, socket, records } = paths();
  const server = await serve(args);
  const { driver } = await connect(socket);
  rmSync(records, { recursive: true });
  mkdirSync(records);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  await server.says(/was started again/);
  expect(await guestAt(records)).toMatchObject({ lastDump: { name: "dmesg-1" } });
  expect((await stop(server)).status).toBe(0);
});

test("clients that are silent, or send junk without end, keep neither guests nor others waiting", async () => {
  const { args, socket, records, control } = paths();
  const server = await serve(args);
  const { driver } = await connect(socket);
  const clients = Array.from({ length: 40 }, (_, i) => {
    const client = connectSocket(control);
    client.on("error", () => undefined);
    if (i % 2 === 0) client.write("x".repeat(100_000));
    else client.write('{"version":1,"command":"status"}\n'.repeat(1000));
    client.pause();
    return client;
  });
  onTestFinished(() => {
    for (const client of clients) client.destroy();
  });
  for (let i = 1; i <= 20; i++) {
    expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  }
  expect(await guestAt(records)).toMatchObject({ lastDump: { name: "dmesg-20" } });
  expect(daemonOf(server)).toBe((await statusAt(records)).pid);
  expect((await stop(server)).status).toBe(0);
});

test("a disk that doesn't answer, and with it the daemon: a line says so, status 1", async () => {
  const { folder, args, socket, records, control } = paths();
  const disk = stuckDisk(folder);
  const server = await serve(args, { env: disk.env });
  const { driver } = await connect(socket);
  disk.stick();
  // Not waited for.
  driver.writeQueue.offer(driver.prepareWrite({ type: DMESG }, text).head);
  const ended = await run(["status", records]);
  expect(ended.status).toBe(1);
  expect(complaint(ended)).toEqual([
    `virtio-pstore: ${control}: the daemon serves its guests and found no time for more in 5 s: its disk may not answer`,
  ]);
  server.child.kill("SIGKILL");
  await server.ended;
});

test("where the socket can't be made a line says so, and guests are served", async () => {
  const { folder, args, socket } = paths();
  const control = join(folder, "missing/control");
  const server = await serve([...args, "--control", control]);
  await server.says(
    /warn: nobody can ask this daemon: no socket can be made at .*missing\/control/,
  );
  const { driver } = await connect(socket);
  expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
  expect(existsSync(join(folder, "missing"))).toBe(false);
});

test("two serves of one DIR, of different guests: the second says that it needs a socket of its own", async () => {
  const { folder, records } = paths();
  const serveGuest = (name: string, ...more: readonly string[]) =>
    serve(["--guest", `${name}=${join(folder, name)}`, "--directory", records, ...more]);
  await serveGuest("a");
  const second = await serveGuest("b");
  await second.says(/\.control is served by another process.*name another with --control/);
  expect((await stop(second)).status).toBe(0);
  expect(await guestAt(records)).toMatchObject({ guest: "a" });
  await serveGuest("b", "--control", join(folder, "control"));
  expect(await guestAt("--control", join(folder, "control"))).toMatchObject({ guest: "b" });
});

test("a directory in a long path: asked all the same where the daemon's own name for it is short", async () => {
  const folder = temporaryFolder();
  const long = join(folder, "x".repeat(100));
  mkdirSync(long);
  const args = ["serve", "--socket-path", join(folder, "socket"), "--directory", "records"];
  const shell = ["-c", 'cd "$0" && exec "$@"', long, program, ...args];
  const serving = start(shell, { command: "/bin/sh" });
  await serving.says(/ is served/);
  expect(await guestAt(join(long, "records"))).toMatchObject({ guest: "" });
});

test("run has a socket, too, as long as it runs", async () => {
  const { folder, records, control } = paths();
  const linux = script(
    join(folder, "linux.uml"),
    `touch ${folder}/started; read _ < ${folder}/fifo`,
  );
  expect((await run([join(folder, "fifo")], { command: "/usr/bin/mkfifo" })).status).toBe(0);
  const running = start(["run", "--directory", records, "--", linux]);
  await until(
    () => readdirSync(folder).includes("started"),
    () => running.stderr(),
  );
  expect(await guestAt(records)).toMatchObject({ guest: "", directory: records });
  writeFileSync(join(folder, "fifo"), "\n");
  expect((await running.ended).status).toBe(0);
  expect(lstatSync(control, { throwIfNoEntry: false })).toBeUndefined();
});
