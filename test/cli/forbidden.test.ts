import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { complaint, program, run, script, temporaryFolder } from "./support.js";

const forbid = fileURLToPath(new URL("../support/forbid.mjs", import.meta.url));

const runWithout = (call: string, action: "EPERM" | "KILL", ...args: readonly string[]) =>
  run([forbid, call, action, program, ...args], { command: process.execPath });

const reason = (call: string) =>
  `${call} is forbidden here (operation not permitted), and nothing can be served without it: ` +
  "allow it, in a container in its seccomp profile";

const line = (call: string) => `virtio-pstore: ${reason(call)}`;

test.each(["memfd_create", "splice"])(
  "where %s is forbidden serve says so, and what to do, and serves nothing",
  async (call) => {
    const folder = temporaryFolder();
    const socket = join(folder, "socket");
    const args = ["serve", "--socket-path", socket, "--directory", join(folder, "records")];
    const ended = await runWithout(call, "EPERM", ...args);
    expect(ended.status).toBe(1);
    expect(complaint(ended)).toEqual([line(call)]);
    expect(existsSync(socket)).toBe(false);
    const { stdout } = await runWithout(call, "EPERM", ...args, "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "failed",
      code: "FORBIDDEN",
      message: reason(call),
    });
  },
);

test("where memfd_create is forbidden run says so, and doesn't start the VMM", async () => {
  const folder = temporaryFolder();
  const linux = script(join(folder, "linux.uml"), `touch ${folder}/started`);
  const args = ["run", "--directory", join(folder, "records"), "--", linux];
  const ended = await runWithout("memfd_create", "EPERM", ...args);
  expect(ended.status).toBe(1);
  expect(complaint(ended)).toEqual([line("memfd_create")]);
  expect(existsSync(join(folder, "started"))).toBe(false);
});

test("where whoever calls splice is killed serve says that it was for a system call", async () => {
  const folder = temporaryFolder();
  const args = ["--socket-path", join(folder, "socket"), "--directory", join(folder, "records")];
  const ended = await runWithout("splice", "KILL", "serve", ...args);
  expect(ended.status).toBe(1);
  expect(complaint(ended)).toEqual([
    "virtio-pstore: the back-end died again and again (SIGSYS: a system call is forbidden); it is given up",
  ]);
});
