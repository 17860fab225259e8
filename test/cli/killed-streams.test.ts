import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { connect, daemonOf, serve, stop, temporaryFolder } from "./support.js";

const CONSOLE = 2;
const EIO = 5;
const ENOSPC = 28;

/**
 * A guest with a console. In its daemon's event loop's thread `code` runs first, which may replace functions
 * of `fs`, and writev(2), with such that call fail() while the file `flag` is there.
 */
async function guestWith(code: string) {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const [socket, records, flag, preload] = [
    at("socket"),
    at("records"),
    at("flag"),
    at("load.cjs"),
  ];
  writeFileSync(
    preload,
    `const fs = require("node:fs");
    const { replaceWritev } = require(${JSON.stringify(replaceWritev)});
    const { workerData } = require("node:worker_threads");
    const real = { ...fs };
    const isSet = () => real.existsSync(${JSON.stringify(flag)});
    const fail = (number) => {
      throw Object.assign(new Error("on purpose"), { code: "ON_PURPOSE", errno: -number });
    };
    if (workerData?.stopFd !== undefined) {${code}}
    require("node:module").syncBuiltinESMExports();`,
  );
  const server = await serve(["--socket-path", socket, "--directory", records, "--console"], {
    env: { NODE_OPTIONS: `--require ${preload}` },
  });
  const guest = await connect(socket);
  return {
    server,
    guest,
    write: (text: string) => guest.driver.write({ type: CONSOLE }, Buffer.from(text)),
    /** Of its one file. */
    console: () => {
      const names = readdirSync(records).filter((name) => name.startsWith("console-"));
      expect(names).toHaveLength(1);
      return readFileSync(join(records, names[0] ?? ""), "latin1");
    },
    set: () => {
      writeFileSync(flag, "");
    },
    unset: () => {
      rmSync(flag);
    },
    kill: async () => {
      process.kill(daemonOf(server) ?? 0, "SIGKILL");
      await server.says(/was started again/);
    },
  };
}

const replaceWritev = fileURLToPath(new URL("../support/replace-writev.cjs", import.meta.url));
const fullDisk = `replaceWritev((_fd, _bytes, write) => isSet() ? fail(${ENOSPC}) : write());`;

test("what is stored where another request's data found no room stays when the daemon is killed", async () => {
  const { server, write, console, set, unset, kill } = await guestWith(fullDisk);
  expect(await write("first\n")).toMatchObject({ ret: 0 });
  set();
  expect(await write(`${"long ".repeat(200)}\n`)).toMatchObject({ ret: -ENOSPC });
  unset();
  expect(await write("second\n")).toMatchObject({ ret: 0 });
  await kill();
  expect(await write("third\n")).toMatchObject({ ret: 0 });
  expect(console()).toMatch(/^first\n[^\n]* missing[^\n]*\nsecond\nthird\n$/);
  await stop(server);
});

test("what is missing is said where the boot ends before its guest asks anything of the next daemon", async () => {
  const { server, guest, write, console, set, unset, kill } = await guestWith(fullDisk);
  expect(await write("first\n")).toMatchObject({ ret: 0 });
  set();
  expect(await write("second\n")).toMatchObject({ ret: -ENOSPC });
  unset();
  await kill();
  guest.close();
  await server.says(/disconnected/);
  await stop(server);
  expect(console()).toBe("first\n[virtio-pstore: 7 bytes are missing here]\n");
});

test("where it can't be found out what a killed daemon did, its request waits until it can, and is then done once", async () => {
  const { server, write, console, unset, set } = await guestWith(`
    replaceWritev((fd, bytes, write) => {
      if (!isSet()) return write();
      fs.writeSync(fd, bytes.subarray(0, 4));
      process.kill(process.pid, "SIGKILL");
    });
    fs.ftruncateSync = (...args) => isSet() ? fail(${EIO}) : real.ftruncateSync(...args);`);
  expect(await write("first\n")).toMatchObject({ ret: 0 });
  set();
  const answer = write("second\n");
  await server.says(/can't be used for records \(ON_PURPOSE\)/);
  expect(console()).toBe("first\nseco");
  unset();
  expect(await answer).toMatchObject({ ret: 0 });
  expect(console()).toBe("first\nsecond\n");
  await stop(server);
});
