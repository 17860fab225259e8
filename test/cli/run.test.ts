import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { until } from "../support/patience.js";
import {
  childrenOf,
  complaint,
  connect,
  run,
  script,
  signalUntilEnded,
  start,
  stuckDisk,
  temporaryFolder,
} from "./support.js";

const HAS_DEVICE = 'name "vhost-user-test-device-pci", bus PCI';
const HAS_OLD = 'name "vhost-user-device-pci", bus PCI';

/** A QEMU that answers `-device help`, and otherwise writes its arguments down and does as told. */
function fakeQemu(folder: string, help: string, ...lines: readonly string[]): string {
  return script(
    join(folder, "qemu-system-fake"),
    'if [ "$1 $2" = "-device help" ]; then',
    `  echo '${help}'`,
    "  exit 0",
    "fi",
    `printf '%s\\n' "$@" > ${folder}/arguments`,
    ...lines,
  );
}

function paths() {
  const folder = temporaryFolder();
  const ownTmp = join(folder, "tmp");
  mkdirSync(ownTmp);
  return { folder, records: join(folder, "records"), ownTmp, env: { TMPDIR: ownTmp } };
}

const argumentsIn = (folder: string) =>
  readFileSync(join(folder, "arguments"), "utf8").trimEnd().split("\n");

/** Waits until the fake QEMU has written its arguments down. */
const untilItRuns = (folder: string) => {
  const path = join(folder, "arguments");
  return until(
    () => existsSync(path) && readFileSync(path, "utf8").endsWith("\n"),
    () => "the VMM was never started",
  );
};

describe("QEMU", () => {
  test("gets shared memory and the device added to its arguments, at a socket that is there", async () => {
    const { folder, records, ownTmp, env } = paths();
    const qemu = fakeQemu(
      folder,
      HAS_DEVICE,
      "for word; do",
      "  case $word in socket,*path=*)",
      `    test -S "$(echo "$word" | sed 's/.*path=//')" || exit 99`,
      "  esac",
      "done",
    );
    const ended = await run(["run", "--directory", records, "--", qemu, "-m", "1G", "a b"], {
      env,
    });
    expect(ended).toEqual({ status: 0, stdout: "", stderr: "" });
    const [first, ...rest] = argumentsIn(folder);
    expect([first, ...rest.slice(0, 6)]).toEqual([
      "-m",
      "1G",
      "a b",
      "-object",
      "memory-backend-memfd,id=virtio-pstore-memory,size=1073741824,share=on",
      "-machine",
      "memory-backend=virtio-pstore-memory",
    ]);
    expect(rest.slice(6)).toEqual([
      "-chardev",
      expect.stringMatching(
        new RegExp(`^socket,id=virtio-pstore,path=${ownTmp}/virtio-pstore-.*/socket$`),
      ),
      "-device",
      "vhost-user-test-device-pci,virtio-id=22,num_vqs=3,vq_size=128,config_size=32,chardev=virtio-pstore",
    ]);
    // Nothing of the socket's folder is left.
    expect(readdirSync(ownTmp)).toEqual([]);
  });

  test.each([0, 1, 7, 255])("its exit status is passed through: %i", async (status) => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, `exit ${status}`);
    expect((await run(["run", "--directory", records, qemu], { env })).status).toBe(status);
  });

  test("a signal that ended it becomes 128 and its number", async () => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, "kill -KILL $$");
    expect((await run(["run", "--directory", records, "--", qemu], { env })).status).toBe(137);
  });

  test("its output is passed through, and what its guest got and stored is told on stderr", async () => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(
      folder,
      HAS_DEVICE,
      "echo console",
      `until test -e ${folder}/done; do sleep 0.02; done`,
      "exit 3",
    );
    const vmm = start(["run", "--directory", records, "--bufsize", "64K", "--", qemu], { env });
    await vmm.says(/console/);
    const socket =
      argumentsIn(folder)
        .join("\n")
        .match(/path=(.*)/)?.[1] ?? "";
    const guest = await connect(socket);
    expect(await guest.driver.config()).toEqual({ bufsize: 65536, flags: 0 });
    expect(await guest.driver.write({ type: 1 }, Buffer.from("text"))).toMatchObject({ ret: 0 });
    guest.close();
    writeFileSync(join(folder, "done"), "");
    expect(await vmm.ended).toEqual({
      status: 3,
      stdout: "console\n",
      stderr: expect.stringMatching(
        `^virtio-pstore: driver started: .*; 2 queues\nvirtio-pstore: stored ${records}/dmesg-1 \\(4\\)\n$`,
      ),
    });
    expect(readFileSync(join(records, "dmesg-1"), "utf8")).toBe("text");
  });

  test("a back-end that ends before it is told", async () => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, `until test -e ${folder}/done; do sleep 0.02; done`);
    const vmm = start(["run", "--directory", records, "--", qemu], { env });
    await untilItRuns(folder);
    // The one that was started first.
    const [daemon = 0] = childrenOf(vmm);
    process.kill(daemon, "SIGTERM");
    await vmm.says(/the back-end has ended: what the guest says from now on is not stored/);
    writeFileSync(join(folder, "done"), "");
    expect((await vmm.ended).status).toBe(0);
  });

  test("--json tells the same as JSON", async () => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, `until test -e ${folder}/done; do sleep 0.02; done`);
    const vmm = start(["run", "--json", "--directory", records, "--", qemu], { env });
    await untilItRuns(folder);
    const socket =
      argumentsIn(folder)
        .join("\n")
        .match(/path=(.*)/)?.[1] ?? "";
    const guest = await connect(socket);
    await guest.driver.write({ type: 1 }, Buffer.from("text"));
    writeFileSync(join(folder, "done"), "");
    const { status, stdout, stderr } = await vmm.ended;
    expect([status, stderr]).toEqual([0, ""]);
    const events = stdout.trimEnd().split("\n");
    expect(events.map((line): unknown => JSON.parse(line))).toMatchObject([
      { kind: "log", code: "DRIVER", details: { queues: 2 } },
      { kind: "stored", path: join(records, "dmesg-1"), size: 4 },
    ]);
  });

  test("SIGTERM is passed on to it, and its status is the program's", async () => {
    const { folder, records, ownTmp, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, "trap 'exit 9' TERM", "echo up", "sleep 10 & wait");
    const vmm = start(["run", "--directory", records, "--", qemu], { env });
    await vmm.says(/up/);
    vmm.child.kill("SIGTERM");
    await new Promise((resolve) => vmm.child.on("exit", resolve));
    expect([vmm.child.exitCode, vmm.child.signalCode]).toEqual([9, null]);
    expect(readdirSync(ownTmp)).toEqual([]);
  });

  test("what a run leaves that is killed with -9 the next one removes, and nothing of one that lives", async () => {
    const { folder, records, ownTmp, env } = paths();
    const lines = [`until test -e ${folder}/done; do sleep 0.02; done`];
    const runs = ["a", "b"].map((name) => {
      mkdirSync(join(folder, name));
      const qemu = fakeQemu(join(folder, name), HAS_DEVICE, ...lines);
      return start(["run", "--directory", join(records, name), "--", qemu], { env });
    });
    const [killed, living] = runs;
    if (killed === undefined || living === undefined) throw new Error("two were started");
    await untilItRuns(join(folder, "a"));
    await untilItRuns(join(folder, "b"));
    const made = readdirSync(ownTmp);
    expect(made).toHaveLength(2);
    const [, left = ""] =
      /socket,.*\/tmp\/(.*)\/socket/.exec(argumentsIn(join(folder, "a")).join("\n")) ?? [];
    killed.child.kill("SIGKILL");
    await new Promise((resolve) => killed.child.on("exit", resolve));
    expect(readdirSync(ownTmp)).toEqual(made);
    const next = fakeQemu(folder, HAS_DEVICE);
    const ended = await run(["run", "--directory", join(records, "c"), "--", next], { env });
    expect(ended).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(readdirSync(ownTmp)).toEqual(made.filter((name) => name !== left));
    writeFileSync(join(folder, "done"), "");
    expect((await living.ended).status).toBe(0);
    expect(readdirSync(ownTmp)).toEqual([]);
  });
});

describe("a signal ends the program", () => {
  test("while QEMU is asked for its device: nothing is left", async () => {
    const { folder, records, ownTmp, env } = paths();
    const asked = join(folder, "asked");
    const qemu = script(join(folder, "qemu-system-slow"), `touch ${asked}`, "exec sleep 3");
    const vmm = start(["run", "--directory", records, "--", qemu], { env });
    await until(
      () => existsSync(asked),
      () => "QEMU was never asked",
    );
    vmm.child.kill("SIGTERM");
    await new Promise((resolve) => vmm.child.on("exit", resolve));
    expect(vmm.child.signalCode).toBe("SIGTERM");
    expect(readdirSync(ownTmp)).toEqual([]);
    expect(existsSync(records)).toBe(false);
  });

  test("while the back-end starts: nothing is left, and the VMM isn't started", async () => {
    const { folder, records, ownTmp, env } = paths();
    const disk = stuckDisk(folder);
    disk.stick();
    const qemu = fakeQemu(folder, HAS_DEVICE);
    const args = ["run", "--directory", records, "--", qemu];
    const vmm = start(args, { env: { ...env, ...disk.env } });
    await until(
      () => readdirSync(ownTmp).length > 0,
      () => "no folder was made",
    );
    await sleep(200);
    vmm.child.kill("SIGINT");
    expect(await vmm.ended).toMatchObject({ status: "SIGINT", stderr: "" });
    expect(readdirSync(ownTmp)).toEqual([]);
    expect(existsSync(join(folder, "arguments"))).toBe(false);
  });

  test("when the VMM is gone and the disk doesn't answer", async () => {
    const { folder, records, ownTmp, env } = paths();
    const disk = stuckDisk(folder);
    const qemu = fakeQemu(folder, HAS_DEVICE, `until test -e ${folder}/stuck; do sleep 0.02; done`);
    const args = ["run", "--directory", records, "--", qemu];
    const vmm = start(args, { env: { ...env, ...disk.env } });
    await untilItRuns(folder);
    disk.stick();
    await until(() => childrenOf(vmm).length === 1, vmm.stderr);
    await sleep(500);
    expect(vmm.child.exitCode).toBe(null);
    vmm.child.kill("SIGTERM");
    expect(await vmm.ended).toMatchObject({ status: "SIGTERM", stderr: "" });
    expect(readdirSync(ownTmp)).toEqual([]);
  });

  test("a VMM that ignores it is killed by the second one", async () => {
    const { folder, records, env } = paths();
    const lines = ["trap '' TERM", "echo up", "while :; do sleep 0.02; done"];
    const qemu = fakeQemu(folder, HAS_DEVICE, ...lines);
    const vmm = start(["run", "--directory", records, "--", qemu], { env });
    await vmm.says(/up/);
    vmm.child.kill("SIGTERM");
    // One so soon is timeout(1)'s, which sends each twice.
    vmm.child.kill("SIGTERM");
    await sleep(500);
    expect(vmm.child.exitCode).toBe(null);
    expect(await signalUntilEnded(vmm, "SIGTERM")).toMatchObject({ status: 137 });
  });
});

describe("user-mode-linux", () => {
  test("gets the device as a kernel parameter", async () => {
    const { folder, records, env } = paths();
    const linux = script(
      join(folder, "linux.uml"),
      `printf '%s\\n' "$@" > ${folder}/arguments`,
      "exit 4",
    );
    const args = ["run", "--directory", records, "--", linux, "mem=64M", "--", "init-arg"];
    expect((await run(args, { env })).status).toBe(4);
    expect(argumentsIn(folder)).toEqual([
      "mem=64M",
      expect.stringMatching(/^virtio_uml\.device=.*\/socket:22$/),
      "--",
      "init-arg",
    ]);
  });

  test("--vmm says what a command is whose name doesn't tell", async () => {
    const { folder, records, env } = paths();
    const wrapper = script(join(folder, "my-vm"), `printf '%s\\n' "$@" > ${folder}/arguments`);
    const args = ["run", "--directory", records, "--vmm", "uml", "--", wrapper];
    expect((await run(args, { env })).status).toBe(0);
    expect(argumentsIn(folder)[0]).toMatch(/^virtio_uml\.device=/);
    const ended = await run(["run", "--directory", records, "--", wrapper], { env });
    expect(ended.status).toBe(2);
    expect(complaint(ended)[0]).toMatch(/my-vm: neither.*--vmm qemu or --vmm uml/);
  });
});

describe("what can't be run: one line, and nothing is left", () => {
  async function refused(args: readonly string[], env: Record<string, string>) {
    const ended = await run(["run", ...args], { env });
    const lines = complaint(ended);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^virtio-pstore: /);
    return { status: ended.status, line: lines[0] };
  }

  test.each([
    [
      "no vhost-user device of any kind",
      'name "e1000"',
      /too old to have a vhost-user device of any kind\. QEMU 11 is needed/,
    ],
    [
      "the device that can't be created",
      HAS_OLD,
      /its vhost-user-device-pci can't be created\. QEMU 11/,
    ],
  ])("a QEMU that has %s", async (_, help, message) => {
    const { folder, records, ownTmp, env } = paths();
    const qemu = fakeQemu(folder, help, "exit 0");
    const { status, line } = await refused(["--directory", records, "--", qemu], env);
    expect(status).toBe(1);
    expect(line).toMatch(message);
    expect(existsSync(join(folder, "arguments"))).toBe(false);
    expect(readdirSync(ownTmp)).toEqual([]);
  });

  test.each([
    [
      "says why",
      "echo 'error while loading shared libraries: libslirp.so.0' >&2; exit 127",
      "error while loading shared libraries: libslirp.so.0",
    ],
    ["says nothing", "exit 3", "status 3"],
    ["is killed", "kill -SEGV $$", "SIGSEGV"],
  ])("a QEMU that doesn't start, and %s, isn't called too old", async (_, line, why) => {
    const { folder, records, env } = paths();
    const qemu = script(join(folder, "qemu-system-broken"), line);
    for (const option of ["--directory", "--erst"]) {
      expect(await refused([option, records, "--", qemu], env)).toEqual({
        ...{ status: 1, line: `virtio-pstore: \`${qemu} -device help\` failed: ${why}` },
      });
    }
  });

  test("a QEMU that may not be run", async () => {
    const { folder, records, env } = paths();
    const qemu = join(folder, "qemu-system-none");
    writeFileSync(qemu, "");
    const { line } = await refused(["--directory", records, "--", qemu], env);
    expect(line).toBe(`virtio-pstore: ${qemu} can't be started: permission denied`);
  });

  test.each(["/no/qemu-system-x86_64", "/no/linux"])(
    "%s: a command that isn't there: 127",
    async (command) => {
      const { records, ownTmp, env } = paths();
      const { status, line } = await refused(["--directory", records, "--", command], env);
      expect(status).toBe(127);
      expect(line).toBe(`virtio-pstore: ${command}: no such command`);
      expect(readdirSync(ownTmp)).toEqual([]);
    },
  );

  test("a directory that can't be used: the VMM isn't started", async () => {
    const { folder, records, ownTmp, env } = paths();
    writeFileSync(records, "");
    const qemu = fakeQemu(folder, HAS_DEVICE, "exit 0");
    const { status, line } = await refused(["--directory", records, "--", qemu], env);
    expect(status).toBe(1);
    expect(line).toMatch(/can't be used for records/);
    expect(existsSync(join(folder, "arguments"))).toBe(false);
    expect(readdirSync(ownTmp)).toEqual([]);
  });

  test("memory that isn't shared", async () => {
    const { folder, records, env } = paths();
    const qemu = fakeQemu(folder, HAS_DEVICE, "exit 0");
    const args = ["-object", "memory-backend-ram,id=m,size=1G", "-M", "memory-backend=m"];
    const { status, line } = await refused(["--directory", records, "--", qemu, ...args], env);
    expect(status).toBe(1);
    expect(line).toMatch(/memory backend m isn't shared/);
  });

  test("no directory, no command: status 2", async () => {
    const { records, env } = paths();
    expect((await refused(["--", "qemu"], env)).status).toBe(2);
    expect((await refused(["--directory", records], env)).status).toBe(2);
  });
});
