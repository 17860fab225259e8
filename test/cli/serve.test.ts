import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { closeDescriptor, listenUnix, socketPair } from "../../src/os/index.js";
import { readEnds } from "../../src/records/index.js";
import { FakeFrontEnd, otherProcess } from "../support/fake-front-end.js";
import { until } from "../support/patience.js";
import {
  childrenOf,
  complaint,
  connect,
  run,
  serve,
  signalUntilEnded,
  start,
  startGuest,
  stop,
  stuckDisk,
  temporaryFolder,
} from "./support.js";

const DMESG = 1;
const CONSOLE = 2;
const text = Buffer.from("Panic#1 Part1\nlast words\n");

/** A folder with the paths of a socket and of a directory of records. */
function paths() {
  const folder = temporaryFolder();
  return { folder, socket: join(folder, "socket"), records: join(folder, "records") };
}

const recordNames = (directory: string) =>
  readdirSync(directory)
    .filter((name) => !name.startsWith("."))
    .sort();

describe("serving one guest", () => {
  test("--socket-path: a record is stored, and each step is a line on stderr", async () => {
    const { socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    expect(lstatSync(socket).mode & 0o777).toBe(0o600);
    const guest = await connect(socket);
    expect(await guest.driver.config()).toEqual({ bufsize: 16384, flags: 0 });
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(readFileSync(join(records, "dmesg-1"))).toEqual(text);
    expect(await guest.driver.write({ type: CONSOLE }, text)).toMatchObject({ ret: -22 });
    guest.close();
    await server.says(/disconnected/);
    const { status, stdout, stderr } = await stop(server);
    expect(status).toBe(0);
    expect(stdout).toBe("");
    expect(stderr.split("\n")).toEqual([
      expect.stringMatching(/^virtio-pstore: (warning: not )?confined to its directories/),
      `virtio-pstore: ${socket} is served; records go to ${records}`,
      "virtio-pstore: front-end connected",
      expect.stringMatching(
        /^virtio-pstore: driver started: interface of 2016 \(.*\); types dmesg \(not console: see --types\); 2 queues$/,
      ),
      `virtio-pstore: stored ${records}/dmesg-1 (25)`,
      "virtio-pstore: warn: a request was refused: WRITE of type 2, which isn't taken [REFUSED]",
      "virtio-pstore: front-end disconnected: the guest had left a dump",
      "",
    ]);
  });

  test("--json: each step is a JSON object on stdout", async () => {
    const { socket, records } = paths();
    const options = ["--json", "--console", "--bufsize", "64K", "--on-erase", "remove"];
    const server = await serve(["--socket-path", socket, "--directory", records, ...options]);
    const guest = await connect(socket);
    expect(await guest.driver.config()).toEqual({ bufsize: 65536, flags: 1 });
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(await guest.driver.write({ type: CONSOLE }, text)).toMatchObject({ ret: 0 });
    expect(await guest.driver.erase(DMESG, 1n)).toMatchObject({ ret: 0 });
    expect(recordNames(records)).toEqual(["console-2"]);
    guest.close();
    await server.says(/disconnected/);
    const { stdout, stderr } = await stop(server);
    expect(stderr).toBe("");
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const { time } of events) expect(Date.parse(String(time))).toBeGreaterThan(0);
    expect(events.map(({ time, ...event }) => event)).toEqual([
      expect.objectContaining({ kind: "confined" }),
      { level: "info", kind: "ready" },
      { level: "info", kind: "connected", guest: "", suppressed: 0 },
      expect.objectContaining({
        kind: "log",
        guest: "",
        level: "info",
        code: "DRIVER",
        details: { interface: "2016", types: "dmesg,console", queues: 2 },
      }),
      { level: "notice", kind: "stored", guest: "", path: join(records, "dmesg-1"), size: 25 },
      { level: "info", kind: "disconnected", guest: "", end: "dumped", suppressed: 0 },
    ]);
  });

  test("a front-end that connects again and again is told of at a bounded rate, and counted", async () => {
    const { socket, records } = paths();
    const began = performance.now();
    const server = await serve(["--socket-path", socket, "--directory", records, "--json"]);
    for (let i = 0; i < 30; i++) (await connect(socket)).close();
    const { stdout } = await stop(server);
    const most = 11 + (performance.now() - began) / 5000;
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; code?: string; suppressed: number });
    for (const of of ["connected", "disconnected", "DRIVER", "NO_DUMP"]) {
      const told = events.filter(({ kind, code }) => kind === of || code === of);
      expect(told.length, of).toBeLessThanOrEqual(most);
      expect(
        told.reduce((sum, { suppressed }) => sum + 1 + suppressed, 0),
        of,
      ).toBe(30);
    }
  });

  test("--log-level: what matters less isn't told; that it serves is, as JSON", async () => {
    for (const [level, lines] of [
      ["notice", [/stored .*dmesg-1/, /ended without a dump: its VMM died .* \[NO_DUMP\]/]],
      ["warn", [/\[NO_DUMP\]/]],
      ["error", []],
    ] as const) {
      const { socket, records } = paths();
      const options = ["--socket-path", socket, "--directory", records, "--log-level", level];
      const server = start(["serve", ...options]);
      // It says nothing of its serving; where it has a daemon it listens.
      await until(() => childrenOf(server).length > 0, server.stderr);
      const guest = await connect(socket);
      await guest.driver.write({ type: DMESG }, Buffer.from("Oops#1 Part1\n"));
      guest.close();
      await until(
        () => readEnds(records).length > 0,
        () => "the guest's end isn't kept",
      );
      const told = (await stop(server)).stderr.split("\n").slice(0, -1);
      const others = told.filter((line) => !line.includes("not confined"));
      expect(others, level).toEqual(lines.map((line) => expect.stringMatching(line)));
    }
    const { socket, records } = paths();
    const options = ["--json", "--log-level", "error", "--directory", records];
    const server = await serve(["--socket-path", socket, ...options]);
    const { stdout } = await stop(server);
    expect(stdout).toMatch(/^\{"time":"[^"]+","level":"info","kind":"ready"\}\n$/);
  });

  test("--max-records and --max-bytes: each type has that much, and what is dropped is told", async () => {
    const { socket, records } = paths();
    const room = ["--console", "--max-records", "2", "--max-bytes", "1M", "--json"];
    const server = await serve(["--socket-path", socket, "--directory", records, ...room]);
    const guest = await connect(socket);
    const write = async (type: number, data: Buffer) =>
      (await guest.driver.write({ type }, data)).ret;
    for (let i = 0; i < 3; i++) expect(await write(DMESG, text)).toBe(0);
    const line = Buffer.alloc(60_000, "x");
    for (let i = 0; i < 5; i++) expect(await write(CONSOLE, line)).toBe(0);
    expect(recordNames(records)).toEqual(["console-4", "console-6", "dmesg-1", "dmesg-3"]);
    guest.close();
    const { status, stdout } = await stop(server);
    expect(status).toBe(0);
    const dropped = stdout
      .trimEnd()
      .split("\n")
      .map((event) => JSON.parse(event) as Record<string, unknown>)
      .filter(({ code }) => code === "DROPPED");
    expect(dropped).toMatchObject([
      { details: { type: "dmesg", files: 1, bytes: 25, allFiles: 1, allBytes: 25 } },
      { details: { type: "console", files: 1, bytes: 120_000 } },
    ]);
    expect(dropped[0]?.message).toBe(
      `dropped ${join(records, "dmesg-2")}, 25 bytes: the quota for dmesg is used up; since the start 1 files, 25 bytes`,
    );
  });

  test("--rate: beyond the burst of 64 MiB the guest is told EBUSY, and the operator how much it was", async () => {
    const { socket, records } = paths();
    const rate = ["--console", "--rate", "1,dmesg=off", "--json"];
    const server = await serve(["--socket-path", socket, "--directory", records, ...rate]);
    const guest = await connect(socket);
    const data = Buffer.alloc(65_536, "x");
    const answers: number[] = [];
    for (let i = 0; i < 1026; i++) {
      answers.push((await guest.driver.write({ type: CONSOLE }, data)).ret);
    }
    expect(answers).toEqual([...Array<number>(1024).fill(0), -16, -16]);
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    guest.close();
    const { stdout } = await stop(server);
    expect(stdout).toContain('"code":"RATE","message":"refused 65536 bytes of console (EBUSY): ');
    expect(stdout).toContain(
      '"details":{"type":"console","bytes":65536,"allTimes":2,"allBytes":131072}',
    );
    const end = readFileSync(join(records, "console-1")).subarray(-48).toString();
    expect(end).toBe("\n[virtio-pstore: 131072 bytes are missing here]\n");
  });

  test("--min-free: where less is free the guest is told ENOSPC, and the operator why", async () => {
    const { socket, records } = paths();
    const server = await serve([
      "--socket-path",
      socket,
      "--directory",
      records,
      "--min-free",
      "99%",
    ]);
    const guest = await connect(socket);
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: -28 });
    guest.close();
    const { stderr } = await stop(server);
    expect(stderr).toContain("refused 25 bytes of dmesg (ENOSPC): ");
    expect(stderr).toContain("[FREE_SPACE]");
  });

  test("--fd with a listening socket: it is served and its file left alone", async () => {
    const { socket, records } = paths();
    const fd = listenUnix(socket);
    const server = await serve(["--fd", "3", "--directory", records], { descriptors: [fd] });
    closeDescriptor(fd);
    for (let i = 1; i <= 2; i++) {
      const guest = await connect(socket);
      expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
      guest.close();
    }
    expect(recordNames(records)).toEqual(["dmesg-1", "dmesg-2"]);
    expect((await stop(server)).status).toBe(0);
    expect(existsSync(socket)).toBe(true);
  });

  test("--fd with a connection: the program ends with it", async () => {
    const { records } = paths();
    const [own, other] = socketPair();
    const server = await serve(["--fd", "3", "--directory", records], { descriptors: [other] });
    closeDescriptor(other);
    const guest = await startGuest(new FakeFrontEnd(own, otherProcess));
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    guest.close();
    expect(await server.ended).toMatchObject({ status: 0 });
    expect(readFileSync(join(records, "dmesg-1"))).toEqual(text);
  });

  test("a program that was killed is followed by one that replaces its socket and goes on counting", async () => {
    const { socket, records } = paths();
    const args = ["--socket-path", socket, "--directory", records];
    const first = await serve(args);
    const guest = await connect(socket);
    await guest.driver.write({ type: DMESG }, text);
    expect(await stop(first, "SIGKILL")).toMatchObject({ status: "SIGKILL" });
    expect(existsSync(socket)).toBe(true);
    expect(readFileSync(join(records, "dmesg-1"))).toEqual(text);
    rmSync(join(records, "dmesg-1"));
    const second = await serve(args);
    const again = await connect(socket);
    expect(await again.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    expect(recordNames(records)).toEqual(["dmesg-2"]);
    expect((await stop(second)).status).toBe(0);
  });

  test("a log that nobody reads any more doesn't end it", async () => {
    const { socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    server.child.stderr?.destroy();
    const guest = await connect(socket);
    for (let i = 0; i < 5; i++) {
      expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    }
    guest.close();
    const again = await connect(socket);
    expect(await again.driver.walk()).toHaveLength(5);
    again.close();
    expect(await stop(server)).toMatchObject({ status: 0 });
  });
});

describe("serving several guests", () => {
  test("--guest: each has its own directory, and its name in the log", async () => {
    const { folder, records } = paths();
    const [web, db] = [join(folder, "web.sock"), join(folder, "db.sock")];
    const guests = ["--guest", `web=${web}`, "--guest", `db=${db}`];
    const server = await serve([...guests, "--directory", records]);
    const one = await connect(web);
    const other = await connect(db);
    for (const { driver } of [one, other, one]) {
      expect(await driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    }
    expect(await one.driver.walk()).toHaveLength(2);
    expect(await other.driver.walk()).toHaveLength(1);
    expect(recordNames(records)).toEqual(["db", "web"]);
    expect(recordNames(join(records, "web"))).toEqual(["dmesg-1", "dmesg-2"]);
    expect(recordNames(join(records, "db"))).toEqual(["dmesg-1"]);
    const { status, stderr } = await stop(server);
    expect(status).toBe(0);
    expect(stderr).toContain(`virtio-pstore: db: stored ${records}/db/dmesg-1 (25)\n`);
    expect(stderr).toContain(`virtio-pstore: ${web} is served; records go to ${records}/web\n`);
    expect([existsSync(web), existsSync(db)]).toEqual([false, false]);
  });

  test("--guest: many records in flight of several guests are all stored, in order", async () => {
    const { folder, records } = paths();
    const names = ["a", "b", "c"];
    const guests = names.flatMap((name) => ["--guest", `${name}=${join(folder, name)}`]);
    const server = await serve([...guests, "--directory", records]);
    const drivers = await Promise.all(
      names.map(async (name) => (await connect(join(folder, name))).driver),
    );
    const count = 30;
    for (const driver of drivers) {
      for (let i = 1; i <= count; i++) {
        driver.writeQueue.stage(driver.prepareWrite({ type: DMESG }, Buffer.from(`${i}`)).head);
      }
      driver.writeQueue.announce();
      driver.writeQueue.kick();
    }
    for (const driver of drivers) {
      let used = 0;
      while (used < count) {
        if (driver.writeQueue.collect() >= 0) used++;
        else await otherProcess();
      }
    }
    for (const name of names) {
      for (let i = 1; i <= count; i++) {
        expect(readFileSync(join(records, name, `dmesg-${i}`), "utf8")).toBe(`${i}`);
      }
    }
    // Nothing of it waits for its guests to go.
    expect((await stop(server)).status).toBe(0);
  });
});

describe("ending", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s: with status 0, a connected front-end notwithstanding; its socket is removed",
    async (signal) => {
      const { socket, records } = paths();
      const server = await serve(["--socket-path", socket, "--directory", records, "--console"]);
      const guest = await connect(socket);
      await guest.driver.write({ type: CONSOLE }, text);
      expect(await stop(server, signal)).toMatchObject({ status: 0 });
      await guest.frontEnd.ended();
      expect(existsSync(socket)).toBe(false);
      expect(readFileSync(join(records, "console-1"))).toEqual(text);
    },
  );

  test("a second signal ends it at once, though the disk doesn't answer", async () => {
    const { folder, socket, records } = paths();
    const disk = stuckDisk(folder);
    const args = ["--socket-path", socket, "--directory", records];
    const server = await serve(args, { env: disk.env });
    disk.stick();
    server.child.kill("SIGTERM");
    // One so soon is timeout(1)'s, which sends each twice.
    server.child.kill("SIGTERM");
    await sleep(500);
    expect(server.child.exitCode).toBe(null);
    expect(await signalUntilEnded(server, "SIGINT")).toMatchObject({ status: "SIGINT" });
    expect(existsSync(socket)).toBe(false);
  });

  test("a socket that somebody else put in its place stays", async () => {
    const { folder, socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    const others = join(folder, "others");
    const fd = listenUnix(others);
    renameSync(others, socket);
    expect(await stop(server)).toMatchObject({ status: 0 });
    expect(existsSync(socket)).toBe(true);
    closeDescriptor(fd);
  });

  test("a socket that somebody removed isn't missed", async () => {
    const { socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    rmSync(socket);
    expect(await stop(server)).toMatchObject({ status: 0 });
  });
});

test("--print-capabilities prints JSON and ends, whatever else is there", async () => {
  for (const more of [[], ["--socket-path", "/nowhere/socket"]]) {
    const { status, stdout, stderr } = await run(["serve", "--print-capabilities", ...more]);
    expect(status).toBe(0);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({ type: "pstore", features: [] });
  }
});

describe("a command line that can't be served ends with status 2 and one line that says why", () => {
  const ok = ["--directory", "/nowhere", "--socket-path", "/nowhere/socket"];
  test.each<[string, string[], RegExp]>([
    ["no directory", ["--socket-path", "/s"], /needs --directory DIR/],
    ["no socket", ["--directory", "/d"], /one of --socket-path PATH, --fd N and --guest/],
    ["two sockets", [...ok, "--fd", "3"], /one of --socket-path PATH/],
    ["a guest without a socket", ["--guest", "web"], /must be NAME=SOCKET/],
    ["a guest without a name", ["--guest", "=/s"], /A guest's name is of up to 64 letters/],
    ["a guest whose name leaves the directory", ["--guest", "../x=/s"], /digits, _, \. and -/],
    ["a guest that hides", ["--guest", ".x=/s"], /begins with neither \. nor -/],
    ["a guest with a blank in its name", ["--guest", "my vm=/s"], /up to 64 letters/],
    ["a guest twice", ["--guest", "a=/1", "--guest", "a=/2"], /a name and a socket of its own/],
    ["a socket twice", ["--guest", "a=/1", "--guest", "b=/1"], /a name and a socket of its own/],
    ["a standard descriptor", ["--fd", "2"], /descriptor from 3 on/],
    ["no descriptor", ["--fd", "x"], /descriptor from 3 on/],
    ["a rate that is none", [...ok, "--rate", "fast"], /A size is a number of bytes/],
    ["a rate of no requests", [...ok, "--rate-requests", "0"], /from 1 to 999999999/],
    ["a bound for no type", [...ok, "--max-bytes", "log=1M"], /log is none of dmesg, console/],
    ["a share of more than all", [...ok, "--min-free", "100%"], /from 0 to 99 with % behind it/],
    ["a bufsize that is none", [...ok, "--bufsize", "big"], /A size is a number of bytes/],
    ["a bufsize too small", [...ok, "--bufsize", "4095"], /from 4K to 4M/],
    ["a bufsize too large", [...ok, "--bufsize", "5M"], /from 4K to 4M/],
    ["an on-erase that is none", [...ok, "--on-erase", "shred"], /keep, remove/],
    ["an unknown option", [...ok, "--daemonize"], /unknown option '--daemonize'/],
    ["an argument", [...ok, "x"], /too many arguments/],
    ["an option without its value", ["--directory"], /argument missing/],
  ])("%s", async (_, args, message) => {
    const ended = await run(["serve", ...args]);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    const lines = complaint(ended);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^virtio-pstore: /);
    expect(lines[0]).toMatch(message);
  });
});

describe("what can't be had ends with status 1 and one line that says why", () => {
  async function refused(args: readonly string[], message: RegExp): Promise<void> {
    const ended = await run(["serve", ...args]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    const lines = complaint(ended);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^virtio-pstore: /);
    expect(lines[0]).toMatch(message);
  }

  test("a file in place of the directory; the socket doesn't stay", async () => {
    const { socket, records } = paths();
    writeFileSync(records, "");
    await refused(["--socket-path", socket, "--directory", records], /records.*can't be used/);
    await refused(["--socket-path", socket, "--directory", join(records, "x")], /can't be used/);
    expect(existsSync(socket)).toBe(false);
  });

  test("a directory where nothing can be made", async () => {
    const { socket } = paths();
    await refused(["--socket-path", socket, "--directory", "/proc/x"], /\/proc\/x can't be used/);
    await refused(["--socket-path", socket, "--directory", "/proc"], /\/proc can't be used/);
  });

  test("a directory that another program uses, which goes on", async () => {
    const { folder, socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    const other = join(folder, "other");
    await refused(["--socket-path", other, "--directory", records], /another virtio-pstore/);
    const guest = await connect(socket);
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    await stop(server);
  });

  test("a socket that another program serves, which goes on", async () => {
    const { folder, socket, records } = paths();
    const server = await serve(["--socket-path", socket, "--directory", records]);
    const other = join(folder, "other");
    await refused(["--socket-path", socket, "--directory", other], /served by another process/);
    const guest = await connect(socket);
    expect(await guest.driver.write({ type: DMESG }, text)).toMatchObject({ ret: 0 });
    await stop(server);
  });

  test("a socket's path that is something else, too long, or in no directory", async () => {
    const { folder, records } = paths();
    const file = join(folder, "file");
    writeFileSync(file, "mine");
    const at = (path: string) => ["--socket-path", path, "--directory", records];
    await refused(at(file), /file exists and is no socket/);
    expect(readFileSync(file, "utf8")).toBe("mine");
    await refused(at(join(folder, "x".repeat(120))), /at most 107 bytes/);
    await refused(
      at(join(folder, "none", "socket")),
      /at .*none\/socket: no such file or directory; make its directory/,
    );
    mkdirSync(join(folder, "dir"));
    await refused(at(join(folder, "dir")), /dir exists and is no socket/);
  });

  test("the second of two guests can't be served: neither's socket stays", async () => {
    const { folder, records } = paths();
    const one = join(folder, "one");
    mkdirSync(records);
    writeFileSync(join(records, "b"), "");
    const guests = ["--guest", `a=${one}`, "--guest", `b=${join(folder, "two")}`];
    await refused([...guests, "--directory", records], /records\/b can't be used/);
    expect(readdirSync(folder)).toEqual(["records"]);
  });

  test("a descriptor that isn't open, or is no socket", async () => {
    const { records } = paths();
    await refused(
      ["--fd", "77", "--directory", records],
      /--fd 77: bad file descriptor; whoever starts this has to open/,
    );
    const file = openSync("/dev/null", "r");
    const args = ["serve", "--fd", "3", "--directory", records];
    const ended = await run(args, { descriptors: [file] });
    closeSync(file);
    expect(ended.status).toBe(1);
    expect(complaint(ended)).toEqual([
      "virtio-pstore: --fd 3: socket operation on non-socket; whoever starts this has to open descriptor 3 as a Unix socket",
    ]);
  });
});
