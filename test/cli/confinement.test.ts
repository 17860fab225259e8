import { execFileSync, spawnSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { errno, landlockAbi } from "../../src/os/index.js";
import { connect, daemonOf, serve, start, stop, temporaryFolder } from "./support.js";

const root = join(import.meta.dirname, "../..");

/** The kernels that CI and developers have know it; without it there is nothing to test. */
const withLandlock = test.skipIf(landlockAbi() === 0);

withLandlock(
  "landlock: a confined process reaches its directory and nothing else, from any thread",
  () => {
    const folder = temporaryFolder();
    const allowed = join(folder, "allowed");
    const forbidden = join(folder, "forbidden");
    mkdirSync(allowed);
    writeFileSync(forbidden, "secret");
    symlinkSync(forbidden, join(allowed, "link"));
    const url = (path: string) => JSON.stringify(pathToFileURL(join(root, path)).href);
    const probe = join(root, "test/cli/confined-probe.mjs");
    const code = `
      import { confineThread } from ${url("dist/src/service/daemon/confinement.js")};
      import { replaceProcess } from ${url("dist/src/os/index.js")};
      const [probe, forbidden, allowed, pid] = process.argv.slice(1);
      confineThread([allowed]);
      process.env.OPENSSL_CONF = "/dev/null";
      replaceProcess(process.execPath, [probe, forbidden, allowed, pid], []);`;
    const args = ["--input-type=module", "-e", code, probe, forbidden, allowed, `${process.pid}`];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(JSON.parse(stdout === "" ? stderr : stdout)).toEqual({
      synchronous: "EACCES",
      asynchronous: "EACCES",
      worker: "EACCES",
      ffi: "13",
      written: "EACCES",
      throughLink: "EACCES",
      tcp: landlockAbi() >= 4 ? "EACCES" : "done",
      signal: landlockAbi() >= 6 ? "EPERM" : "done",
      own: "done",
    });
    expect(readFileSync(forbidden, "utf8")).toBe("secret");
  },
);

withLandlock("landlock: serve's daemon is confined, can't gain rights, and says so", async () => {
  const folder = temporaryFolder();
  const socket = join(folder, "socket");
  const running = start(["serve", "--socket-path", socket, "--directory", join(folder, "records")]);
  await running.says(/ is served/);
  expect(running.stderr()).toMatch(/^virtio-pstore: confined to its directories by Landlock \d+$/m);
  const [daemon = ""] = execFileSync("pgrep", ["-P", `${running.child.pid}`])
    .toString()
    .split("\n");
  const status = readFileSync(`/proc/${daemon}/status`, "utf8");
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  expect(status).toMatch(/^Umask:\t0077$/m);
  expect(statSync(socket).mode & 0o777).toBe(0o600);
});

test.each([
  [["--socket-mode", "rw"], "three octal digits"],
  [["--socket-group", "no-such-group"], "no such group"],
])("serve %j: refused in one line", async (args, reason) => {
  const ended = await start(["serve", "--socket-path", "s", "--directory", "d", ...args]).ended;
  expect(ended.status).toBe(2);
  expect(ended.stderr).toContain(reason);
});

test("a link in place of a guest's directory isn't followed", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "elsewhere"));
  mkdirSync(join(folder, "guests"));
  symlinkSync(join(folder, "elsewhere"), join(folder, "guests/vm1"));
  const guest = `vm1=${join(folder, "socket")}`;
  const ended = await start(["serve", "--guest", guest, "--directory", join(folder, "guests")])
    .ended;
  expect(ended.status).toBe(1);
  expect(ended.stderr).toContain("is a symbolic link");
  expect(readdirSync(join(folder, "elsewhere"))).toEqual([]);
});

withLandlock("landlock: what a link in place of a guest's directory leads to isn't allowed", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "target"));
  writeFileSync(join(folder, "target/secret"), "secret");
  symlinkSync(join(folder, "target"), join(folder, "vm1"));
  const code = `
    import { readFileSync } from "node:fs";
    import { confineThread } from ${JSON.stringify(pathToFileURL(join(root, "dist/src/service/daemon/confinement.js")).href)};
    const [link, file] = process.argv.slice(1);
    if (confineThread([link]).landlock === 0) throw new Error("not confined");
    readFileSync(file);`;
  const args = ["--input-type=module", "-e", code, join(folder, "vm1")];
  const { stderr } = spawnSync(process.execPath, [...args, join(folder, "target/secret")], {
    encoding: "utf8",
  });
  expect(stderr).toContain("EACCES");
});

test("a link in place of a directory that is served isn't followed, by another daemon neither", async () => {
  const folder = temporaryFolder();
  const [socket, guests] = [join(folder, "socket"), join(folder, "guests")];
  const server = await serve(["--guest", `vm1=${socket}`, "--directory", guests]);
  const { driver } = await connect(socket);
  const write = async () => (await driver.write({ type: 1 }, Buffer.from("last words\n"))).ret;
  expect(await write()).toBe(0);
  renameSync(join(guests, "vm1"), join(folder, "old"));
  mkdirSync(join(folder, "target"));
  symlinkSync(join(folder, "target"), join(guests, "vm1"));
  expect(await write()).toBe(-errno.ENOTDIR);
  process.kill(daemonOf(server) ?? 0, "SIGKILL");
  await server.says(/guests\/vm1 can't be used for records .*no link/);
  unlinkSync(join(guests, "vm1"));
  renameSync(join(folder, "old"), join(guests, "vm1"));
  await server.says(/was started again/);
  expect(await write()).toBe(0);
  expect(readdirSync(join(folder, "target"))).toEqual([]);
  expect((await stop(server)).status).toBe(0);
});

test("the directory that the user names for one guest may be a link", async () => {
  const folder = temporaryFolder();
  const socket = join(folder, "socket");
  mkdirSync(join(folder, "records"));
  symlinkSync("records", join(folder, "link"));
  const server = await serve(["--socket-path", socket, "--directory", join(folder, "link")]);
  const { driver } = await connect(socket);
  expect(await driver.write({ type: 1 }, Buffer.from("last words\n"))).toMatchObject({ ret: 0 });
  expect(readdirSync(join(folder, "records"))).toContain("dmesg-1");
  expect((await stop(server)).status).toBe(0);
});

test("links in place of records and of the store's own files aren't followed", async () => {
  const folder = temporaryFolder();
  const records = join(folder, "records");
  const secret = join(folder, "secret");
  mkdirSync(records);
  writeFileSync(secret, "Panic#1 Part1\nsecret\n");
  for (const name of ["dmesg-1", ".erased", ".streams", ".next-2"]) {
    symlinkSync(secret, join(records, name));
  }
  const list = await start(["list", records]).ended;
  expect(list.stdout).not.toContain("dmesg-1");
  const shown = await start(["show", records]).ended;
  expect(shown.stdout).not.toContain("secret");
  const serve = start(["serve", "--socket-path", join(folder, "socket"), "--directory", records]);
  await serve.says(/ is served|can't be used for records/);
  serve.child.kill("SIGTERM");
  await serve.ended;
  expect(readFileSync(secret, "utf8")).toBe("Panic#1 Part1\nsecret\n");
});
