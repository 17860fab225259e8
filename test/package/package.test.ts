import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { checkout } from "../../vm/paths.js";
import { guests } from "../cli/crashes.js";
import { connect, run, start, stop, temporaryFolder } from "../cli/support.js";
import { DriverQueue } from "../support/fake-driver.js";
import { FakeFrontEnd } from "../support/fake-front-end.js";
import { GuestRam } from "../support/guest-ram.js";
import { closeAll, closing } from "../support/in-process.js";
import { listening } from "../support/listening.js";
import { qemuConnect, qemuStart } from "../support/negotiations.js";
import { compileStrictly, entropyExample, installPacked, type Project } from "../support/packed.js";

let project: Project;
/** The installed program. */
let program: string;

beforeAll(() => {
  project = installPacked(mkdtempSync(join(tmpdir(), "virtio-pstore-package-")));
  program = join(project.folder, "node_modules", ".bin", "virtio-pstore");
});

afterAll(() => {
  rmSync(project.folder, { recursive: true, force: true });
});
afterEach(closeAll);

const installed = (...names: readonly string[]) =>
  join(project.folder, "node_modules", "virtio-pstore", ...names);

describe("the installed program", () => {
  test("tells its version, and needs no package but koffi", async () => {
    const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as {
      version: string;
    };
    const { stdout } = await run(["--version"], { command: program });
    expect(stdout).toBe(`${version}\n`);
    const listed = project.run("npm", "ls", "--all", "--parseable").trim().split("\n");
    const packages = listed.map((path) => path.replace(/^.*node_modules\//, ""));
    const others = packages.filter((name) => !/koffi/.test(name));
    expect(others).toEqual([project.folder, "virtio-pstore"]);
    const licences = readFileSync(installed("dist", "program", "LICENSES"), "utf8");
    expect(licences.match(/^(?:commander|get-east-asian-width)$|MIT License/gm)).toEqual([
      ...["commander", "MIT License", "get-east-asian-width", "MIT License"],
    ]);
  });

  test("serves a guest, in as many processes and threads as that takes", async () => {
    const folder = temporaryFolder();
    const crashes = join(folder, "crashes");
    const sockets = ["a", "b"].map((name) => join(folder, name));
    const running = start(
      [
        "serve",
        "--directory",
        crashes,
        ...sockets.flatMap((path, i) => ["--guest", `g${i}=${path}`]),
      ],
      { command: program },
    );
    await running.says(/is served/);
    const guest = await connect(sockets[0] ?? "");
    const status = await run(["status", crashes, "--json"], { command: program });
    expect(JSON.parse(status.stdout)).toMatchObject({ guests: [{ guest: "g0" }, { guest: "g1" }] });
    guest.close();
    expect((await stop(running)).status).toBe(0);
  });

  test("prints its man page and completions", async () => {
    const man = await run(["man"], { command: program });
    expect(man.stdout).toMatch(/^\.TH VIRTIO/);
    const completion = await run(["completion", "bash"], { command: program });
    expect(completion.stdout).toContain("complete -o default -F _virtio_pstore");
  });
});

/** The README's code: what is indented, or between fences. */
const code = readFileSync(join(checkout, "README.md"), "utf8")
  .split(/^```.*$/m)
  .flatMap((text, i) => (i % 2 === 1 ? text.split("\n") : (text.match(/^ {4}.*$/gm) ?? [])));

/** Its command lines of ours. */
const recipes = code.flatMap((line) => {
  const [, command, rest = ""] =
    /^\s*(?:\$ )?virtio-pstore ((?:erst )?[a-z]+)\b(.*)$/.exec(line) ?? [];
  return command === undefined ? [] : [{ command, rest }];
});

describe("the README's recipes", () => {
  test("are found", () => {
    expect(recipes.length).toBeGreaterThan(5);
  });

  test("name commands and options that there are", async () => {
    const help = new Map<string, string>();
    for (const { command, rest } of recipes) {
      const known =
        help.get(command) ??
        (await run([...command.split(" "), "--help"], { command: program })).stdout;
      help.set(command, known);
      expect(known, command).toContain(`virtio-pstore ${command}`);
      const [own = ""] = rest.split(/ (?:--|#|\||&) /);
      for (const [option] of own.matchAll(/(?<= )--[a-z-]+/g)) expect(known).toContain(option);
    }
  });

  test("read crashes", async () => {
    const folder = temporaryFolder();
    renameSync(guests(), join(folder, "crashes"));
    const reading = recipes.filter(
      ({ command, rest }) => /^(?:list|show|stats|export)$/.test(command) && !/[…$]/.test(rest),
    );
    for (const { command, rest } of reading) {
      const words = `virtio-pstore ${command}${rest}`;
      const script = `cd ${folder} && PATH=${join(project.folder, "node_modules", ".bin")}:$PATH && ${words}`;
      const { status, stderr } = await run(["-c", script], { command: "/bin/sh" });
      // 1: the crash that it names isn't there.
      expect([0, 1], `${words}: ${stderr}`).toContain(status);
    }
    expect(reading.length).toBeGreaterThan(1);
  });
});

describe("the library", () => {
  test("compiles in a strict project; a whole device serves until a signal", async () => {
    const [example = ""] = compileStrictly(project, entropyExample);
    const socket = join(temporaryFolder(), "socket");
    const device = start([example, socket], { command: process.execPath });
    await listening(socket, device.stderr);
    const frontEnd = closing(FakeFrontEnd.connect(socket));
    const ram = closing(new GuestRam());
    const queue = closing(new DriverQueue(ram));
    await qemuConnect(frontEnd, [queue]);
    await qemuStart(frontEnd, ram, [queue]);
    const [address, length] = [ram.allocate(64), 64];
    queue.add([{ address, length, writable: true }]);
    queue.kick();
    await frontEnd.until(() => queue.collect() >= 0, "the used buffer");
    expect(new Set(ram.bytes(address, length)).size).toBeGreaterThan(8);
    expect(await stop(device)).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("its page shows that device", () => {
    const page = readFileSync(join(checkout, "docs", "library.md"), "utf8");
    expect(page).toContain(readFileSync(entropyExample, "utf8"));
  });

  test("tells which argument is wrong", async () => {
    const script = join(project.folder, "wrong.mjs");
    writeFileSync(
      script,
      `import { serveDevice } from "virtio-pstore/vhost-user";
      import "virtio-pstore";
      import "virtio-pstore/virtqueue";
      await serveDevice({ socketPath: "/nowhere", device: {} });`,
    );
    const { status, stderr } = await run([script], { command: process.execPath });
    expect(status).toBe(1);
    expect(stderr).toContain("options.createDevice must be a function, not undefined");
  });
});
