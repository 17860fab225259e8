import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { closeDescriptor, listenUnix } from "../../src/os/index.js";
import { complaint, type Ended, serve, start, stop, temporaryFolder } from "./support.js";

const preload = fileURLToPath(new URL("../support/after-call.cjs", import.meta.url));

/** Somebody who runs a shell command right behind each of the program's calls of a function of libc's. */
const after = (call: "bind" | "connect", command: string) => ({
  env: { NODE_OPTIONS: `--require ${preload}`, CALL: call, THEN: command },
});

const groupId = (name: string): number => {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`));
  return Number(line?.split(":")[2]);
};

/** Two folders, and what serves a socket in the first of them. */
function folders() {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  mkdirSync(at("theirs"));
  mkdirSync(at("others"));
  const socket = at("theirs/socket");
  return { at, socket, args: ["--socket-path", socket, "--directory", at("records")] };
}

/** Starts `serve` while somebody does that, ends it where it serves, and returns how it ended. */
async function serveDuring(
  somebody: ReturnType<typeof after>,
  ...args: readonly string[]
): Promise<Ended> {
  const running = start(["serve", ...args], somebody);
  const served = running.says(/ is served/).catch(() => undefined);
  await Promise.race([running.ended, served]);
  return stop(running);
}

const REPLACED = [expect.stringContaining("socket was replaced by somebody else: name a path in")];

test("--socket-mode and --socket-group: who may connect", async () => {
  const { socket, args } = folders();
  await serve([...args, "--socket-mode", "660", "--socket-group", "daemon"]);
  const { mode, gid } = statSync(socket);
  expect(mode & 0o777).toBe(0o660);
  expect(gid).toBe(groupId("daemon"));
});

test.each([
  ["a link to another file", "ln -s"],
  ["another file", "ln"],
])(
  "%s that is put in the socket's place while it is made keeps its mode and group",
  async (_, link) => {
    const { at, socket, args } = folders();
    writeFileSync(at("victim"), "");
    const { mode, gid } = statSync(at("victim"));
    const somebody = after("bind", `rm -f ${socket}; ${link} ${at("victim")} ${socket}`);
    const ended = await serveDuring(somebody, ...args, "--socket-mode", "666");
    expect(statSync(at("victim"))).toMatchObject({ mode, gid });
    expect(ended.status).toBe(0);
    rmSync(socket, { force: true });
    const group = ["--socket-mode", "666", "--socket-group", "daemon"];
    const refused = await serveDuring(somebody, ...args, ...group);
    expect(statSync(at("victim"))).toMatchObject({ mode, gid });
    expect(refused.status).toBe(1);
    expect(complaint(refused)).toEqual(REPLACED);
  },
);

test("another service's socket that is put in the socket's place while it is made keeps its group", async () => {
  const { at, socket, args } = folders();
  const fd = listenUnix(at("others/socket"));
  const { mode, gid } = statSync(at("others/socket"));
  const somebody = after("bind", `rm -f ${socket}; ln ${at("others/socket")} ${socket}`);
  const group = ["--socket-mode", "666", "--socket-group", "daemon"];
  const ended = await serveDuring(somebody, ...args, ...group);
  expect(statSync(at("others/socket"))).toMatchObject({ mode, gid });
  expect(ended.status).toBe(1);
  expect(complaint(ended)).toEqual(REPLACED);
  closeDescriptor(fd);
});

test("a folder that leads elsewhere once its stale socket was looked at: nothing is removed there", async () => {
  const { at, socket, args } = folders();
  closeDescriptor(listenUnix(socket));
  writeFileSync(at("others/socket"), "precious");
  const swap = `[ -h ${at("theirs")} ] || { mv ${at("theirs")} ${at("away")}; ln -s others ${at("theirs")}; }`;
  const ended = await serveDuring(after("connect", swap), ...args);
  expect(readFileSync(at("others/socket"), "utf8")).toBe("precious");
  expect(complaint(ended)).toEqual([expect.stringContaining("address already in use")]);
  expect(existsSync(at("away/socket"))).toBe(false);
});
