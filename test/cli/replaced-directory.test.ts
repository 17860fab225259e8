import { spawnSync } from "node:child_process";
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { errno, landlockAbi } from "../../src/os/index.js";
import {
  connect,
  daemonOf,
  type Guest,
  mayMount,
  type Running,
  serve,
  stop,
  temporaryFolder,
} from "./support.js";

const [DMESG, CONSOLE] = [1, 2] as const;

/** The kernels that CI and developers have know it; without it no new directory is forbidden. */
const withLandlock = test.skipIf(landlockAbi() === 0);

/** What a daemon says that leaves the new directory to the next one. */
const NEXT = /records\S* is another directory than before, .*: the next one takes it \[MOVED\]/;
const RESTARTED = /the back-end ended \(exit status 75\) and was started again/;

const count = (server: Running, line: RegExp): number => server.stderr().split(line).length - 1;

async function served(...options: readonly string[]) {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const args = ["--socket-path", at("socket"), "--directory", at("records"), ...options];
  const server = await serve(args);
  const guest = await connect(at("socket"));
  return { at, server, guest, records: at("records") };
}

const write = async ({ driver }: Guest, text: string, type: number = DMESG): Promise<number> =>
  (await driver.write({ type }, Buffer.from(text))).ret;

const textOf = (...path: readonly string[]) => readFileSync(join(...path), "latin1");

withLandlock(
  "a directory that was removed and made again: the crash that finds it so is stored there",
  async () => {
    const { server, guest, records } = await served("--console");
    for (const text of ["one", "two"]) expect(await write(guest, text)).toBe(0);
    expect(await write(guest, "line one\n", CONSOLE)).toBe(0);
    const former = daemonOf(server);
    rmSync(records, { recursive: true });
    expect(await write(guest, "in between")).toBe(-errno.ENOENT);
    mkdirSync(records);
    expect(await write(guest, "last words")).toBe(0);
    expect(textOf(records, "dmesg-1")).toBe("last words");
    expect(await write(guest, "line two\n", CONSOLE)).toBe(0);
    expect(textOf(records, "console-2")).toBe("line two\n");
    await server.says(RESTARTED);
    await server.says(new RegExp(`${NEXT.source}[^]*stored ${records}/dmesg-1 \\(10\\)`));
    expect(daemonOf(server)).not.toBe(former);
    expect([count(server, NEXT), count(server, RESTARTED)]).toEqual([1, 1]);
    // The session went on.
    expect(count(server, /front-end connected/)).toBe(1);
    guest.close();
    expect((await stop(server)).status).toBe(0);
  },
);

test.skipIf(landlockAbi() === 0 || !mayMount)(
  "a file system that was mounted there since",
  async () => {
    const { server, guest, records } = await served();
    expect(await write(guest, "one")).toBe(0);
    expect(spawnSync("mount", ["-t", "tmpfs", "none", records]).status).toBe(0);
    onTestFinished(() => {
      spawnSync("umount", ["-l", records]);
    });
    expect(await write(guest, "last words")).toBe(0);
    expect(textOf(records, "dmesg-1")).toBe("last words");
    await server.says(RESTARTED);
    expect(count(server, NEXT)).toBe(1);
  },
);

withLandlock("one of several guests' directories: the others' sessions go on, too", async () => {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const guests = ["--guest", `a=${at("a")}`, "--guest", `b=${at("b")}`];
  const server = await serve([...guests, "--directory", at("records")]);
  const [a, b] = [await connect(at("a")), await connect(at("b"))];
  for (const guest of [a, b]) expect(await write(guest, "one")).toBe(0);
  renameSync(at("records/a"), at("old"));
  mkdirSync(at("records/a"));
  expect(await Promise.all([write(b, "two"), write(a, "two")])).toEqual([0, 0]);
  expect(await write(b, "three")).toBe(0);
  expect([textOf(at("old/dmesg-1")), textOf(at("records/a/dmesg-1"))]).toEqual(["one", "two"]);
  // A daemon that ends amid a request may have used an id for it already.
  const names = readdirSync(at("records/b")).filter((name) => name.startsWith("dmesg-"));
  const texts = names.map((name) => textOf(at("records/b"), name));
  expect(texts.sort()).toEqual(["one", "three", "two"]);
  expect(count(server, / a: warn: .*the next one takes it/)).toBe(1);
});

withLandlock(
  "a directory that is moved away and made anew again and again, amid requests: all that was acknowledged is there once",
  async () => {
    const { at, server, guest, records } = await served();
    const moves = 10;
    const acknowledged: string[] = [];
    for (let i = 0; i < moves; i++) {
      for (const text of [`dump ${i}a`, `dump ${i}b`]) {
        const answer = write(guest, text);
        if (text.endsWith("b")) {
          renameSync(records, at(`old-${i}`));
          mkdirSync(records);
        }
        const ret = await answer;
        // It came while there was none.
        expect([0, -errno.ENOENT]).toContain(ret);
        if (ret === 0) acknowledged.push(text);
      }
    }
    const folders = [records, ...Array.from({ length: moves }, (_, i) => at(`old-${i}`))];
    const stored = folders.flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.startsWith("dmesg-"))
        .map((name) => textOf(folder, name)),
    );
    expect(acknowledged.length).toBeGreaterThan(moves);
    expect(stored.sort()).toEqual(acknowledged.sort());
    expect(count(server, NEXT)).toBeGreaterThan(0);
    guest.close();
    expect((await stop(server)).status).toBe(0);
  },
);

test("a directory that is gone, or whose place a link or a file has: refused with the reason, by the same daemon", async () => {
  const { at, server, guest, records } = await served();
  expect(await write(guest, "one")).toBe(0);
  const former = daemonOf(server);
  renameSync(records, at("old"));
  expect(await write(guest, "two")).toBe(-errno.ENOENT);
  await server.says(/records: no such file or directory: put it back, or make another/);
  mkdirSync(at("target"));
  symlinkSync(at("target"), records);
  expect(await write(guest, "three")).toBe(-errno.ENOTDIR);
  await server.says(/records: not a directory: put a directory there, no link and no file/);
  unlinkSync(records);
  writeFileSync(records, "");
  expect(await write(guest, "four")).toBe(-errno.ENOTDIR);
  unlinkSync(records);
  renameSync(at("old"), records);
  expect(await write(guest, "five")).toBe(0);
  expect(readdirSync(at("target"))).toEqual([]);
  expect(daemonOf(server)).toBe(former);
  expect([count(server, NEXT), count(server, RESTARTED)]).toEqual([0, 0]);
});

test.skipIf(process.geteuid?.() !== 0)(
  "a directory in its place that no process of this user may use: refused with the reason, by the same daemon",
  async () => {
    const folder = temporaryFolder();
    chownSync(folder, 65534, 65534);
    const at = (name: string) => join(folder, name);
    const args = ["--socket-path", at("socket"), "--directory", at("records")];
    const server = await serve(args, { asNobody: true });
    const guest = await connect(at("socket"));
    expect(await write(guest, "one")).toBe(0);
    const former = daemonOf(server);
    renameSync(at("records"), at("old"));
    mkdirSync(at("records"), 0o755);
    expect(await write(guest, "two")).toBe(-errno.EACCES);
    await server.says(/records: permission denied: let this user write there/);
    expect(daemonOf(server)).toBe(former);
    // As soon as it may.
    chownSync(at("records"), 65534, 65534);
    expect(await write(guest, "three")).toBe(0);
    expect(textOf(at("records/dmesg-1"))).toBe("three");
  },
);
