import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { bindDatagram, closeDescriptor, landlockAbi, receive } from "../../src/os/index.js";
import { until } from "../support/patience.js";
import {
  connect,
  mayMount,
  program,
  type Running,
  run,
  start,
  temporaryFolder,
} from "./support.js";

const DMESG = 1;

/** systemd's side of sd_notify(3) and of the file descriptor store, for one service. */
class FakeManager {
  readonly folder = temporaryFolder();
  readonly #path = join(this.folder, "notify");
  readonly #fd = bindDatagram(this.#path);
  #store: { readonly name: string; readonly fd: number }[] = [];
  readonly messages: string[] = [];

  constructor() {
    onTestFinished(() => {
      for (const { fd } of this.#store) closeDescriptor(fd);
      closeDescriptor(this.#fd);
    });
  }

  get names(): string[] {
    return this.#store.map(({ name }) => name).sort();
  }

  /** Starts the service, with `wrapper` before its command, and waits until it is ready. */
  async start(args: readonly string[], wrapper: readonly string[] = []): Promise<Running> {
    const exec = 'LISTEN_PID=$$ exec "$0" "$@"';
    const ready = this.#count("READY=1");
    const running = start(["-c", exec, ...wrapper, program, "serve", ...args], {
      command: "/bin/sh",
      descriptors: this.#store.map(({ fd }) => fd),
      env: {
        NOTIFY_SOCKET: this.#path,
        LISTEN_FDS: String(this.#store.length),
        LISTEN_FDNAMES: this.#store.map(({ name }) => name).join(":"),
      },
    });
    const isReady = () => {
      this.take();
      return this.#count("READY=1") > ready;
    };
    await until(isReady, () => `${this.messages}\n${running.stderr()}`);
    return running;
  }

  take(): void {
    for (let got = receive(this.#fd, 4096); got !== undefined; got = receive(this.#fd, 4096)) {
      const text = Buffer.from(got.bytes).toString();
      this.messages.push(text);
      const name = /^FDNAME=(.*)$/m.exec(text)?.[1] ?? "";
      // What systemd takes for a name.
      expect(name).toMatch(/^[!-9;-~]{0,255}$/);
      if (/^FDSTORE=1$/m.test(text)) {
        for (const fd of got.descriptors) this.#store.push({ name, fd });
      }
      if (/^FDSTOREREMOVE=1$/m.test(text)) {
        for (const one of this.#store) if (one.name === name) closeDescriptor(one.fd);
        this.#store = this.#store.filter((one) => one.name !== name);
      }
    }
  }

  #count(text: string): number {
    return this.messages.filter((message) => message === text).length;
  }
}

test.each(["SIGKILL", "SIGTERM"] as const)(
  "under systemd's protocol: a guest's session goes on in the process that follows one that %s ended",
  async (signal) => {
    const manager = new FakeManager();
    const socket = join(manager.folder, "socket");
    const records = join(manager.folder, "records");
    const args = ["--guest", `vm=${socket}`, "--directory", records];
    let running = await manager.start(args);
    const names = ["control@", "file.3@vm", "in.3@vm", "out.3@vm", "socket@vm"];
    expect(manager.names).toEqual(names);
    if (landlockAbi() > 0) await running.says(/confined to its directories by Landlock/);
    const guest = await connect(socket);
    const control = statSync(join(records, ".control")).ino;
    for (let n = 1; n <= 3; n++) {
      const data = Buffer.from(`dump ${n}`);
      expect(await guest.driver.write({ type: DMESG }, data)).toMatchObject({ ret: 0 });
      running.child.kill(signal);
      await running.ended;
      expect(existsSync(socket)).toBe(true);
      // Asked while there is none, the next one answers.
      const asking = run(["status", records, "--json"]);
      running = await manager.start(args);
      const { stdout } = await asking;
      expect(JSON.parse(stdout)).toMatchObject({ guests: [{ lastDump: { name: `dmesg-${n}` } }] });
      expect(statSync(join(records, ".control")).ino).toBe(control);
      expect(manager.names).toEqual(names);
      expect(running.stderr()).not.toContain("connected");
    }
    expect(await guest.driver.walk()).toHaveLength(3);
    expect(readFileSync(join(records, "vm", "dmesg-3"), "latin1")).toBe("dump 3");
    guest.close();
    await running.says(/vm: front-end disconnected/);
    // The socket is the same, and serves the next one.
    (await connect(socket)).close();
  },
);

const HOST_MOUNTS = "the host's mounts";
/** As systemd makes them anew for each start, by ProtectSystem=strict and StateDirectory=. */
const OWN_MOUNTS = "mounts of its own, read-only but for the directory";

test.skipIf(landlockAbi() === 0).each([HOST_MOUNTS, ...(mayMount ? [OWN_MOUNTS] : [])])(
  "a directory that was removed and made again, with %s: the process that follows stores the crash that found it so",
  async (mounts) => {
    const manager = new FakeManager();
    const at = (name: string) => join(manager.folder, name);
    const [state, records] = [at("state"), at("state/records")];
    mkdirSync(records, { recursive: true });
    const mount = [
      ...[`mount --bind ${state} ${state}`, `mount -o remount,bind,ro ${state}`],
      ...[`mount --bind ${records} ${records}`, `mount -o remount,bind,rw ${records}`],
    ].join(" && ");
    const own = ["unshare", "-m", "/bin/sh", "-c", `${mount} && exec "$0" "$@"`];
    const wrapper = mounts === HOST_MOUNTS ? [] : own;
    const args = ["--socket-path", at("socket"), "--directory", records];
    const running = await manager.start(args, wrapper);
    const guest = await connect(at("socket"));
    expect(await guest.driver.write({ type: DMESG }, Buffer.from("one"))).toMatchObject({ ret: 0 });
    rmSync(records, { recursive: true });
    mkdirSync(records);
    const answer = guest.driver.write({ type: DMESG }, Buffer.from("last words"));
    expect(await running.ended).toMatchObject({ status: 75 });
    await manager.start(args, wrapper);
    expect(await answer).toMatchObject({ ret: 0 });
    expect(readFileSync(join(records, "dmesg-1"), "latin1")).toBe("last words");
  },
);

test("a service that was told of another path, mode or group: the guest stays, the next one finds the socket so", async () => {
  const manager = new FakeManager();
  const at = (name: string) => join(manager.folder, name);
  const args = ["--socket-path", at("old"), "--directory", at("records")];
  let running = await manager.start(args);
  const guest = await connect(at("old"));
  const restart = async (...next: readonly string[]) => {
    running.child.kill("SIGTERM");
    await running.ended;
    running = await manager.start(next);
    expect(manager.names).toEqual(["control@", "file.3@", "in.3@", "out.3@", "socket@"]);
    expect(await guest.driver.write({ type: DMESG }, Buffer.from("a dump"))).toMatchObject({
      ret: 0,
    });
  };

  await restart(...args, "--socket-mode", "660");
  expect(statSync(at("old")).mode & 0o777).toBe(0o660);
  await restart("--socket-path", at("new"), "--directory", at("records"));
  expect(statSync(at("new")).mode & 0o777).toBe(0o600);
  // Somebody removed it: nobody could connect any more.
  rmSync(at("new"));
  await restart("--socket-path", at("new"), "--directory", at("records"));
  guest.close();
  await running.says(/front-end disconnected/);
  (await connect(at("new"))).close();
  expect(() => connect(at("old"))).toThrow(/ECONNREFUSED/);
});

test("what is kept of a guest that isn't served any more is let go of: its front-end sees the end", async () => {
  const manager = new FakeManager();
  const at = (name: string) => join(manager.folder, name);
  const directory = ["--directory", at("records")];
  const first = await manager.start([
    ...["--guest", `a=${at("a")}`, "--guest", `b=${at("b")}`],
    ...directory,
  ]);
  await connect(at("b"));
  first.child.kill("SIGKILL");
  await first.ended;
  await manager.start(["--guest", `a=${at("a")}`, ...directory]);
  manager.take();
  expect(manager.names).toEqual(["control@", "file.3@a", "in.3@a", "out.3@a", "socket@a"]);
});

test("a line that goes to the journal begins with its priority, and no other does", async () => {
  const folder = temporaryFolder();
  const log = join(folder, "log");
  // What systemd sets: the device and inode of what it made our stderr.
  const exec = 'JOURNAL_STREAM=$(stat -c %d:%i "$LOG") exec "$0" "$@" 2>>"$LOG"';
  const args = ["serve", "--socket-path", join(folder, "socket"), "--directory", "/dev/null"];
  const options = { command: "/bin/sh", env: { LOG: log } };
  writeFileSync(log, "");
  expect((await run(["-c", exec, program, ...args], options)).status).toBe(1);
  expect(readFileSync(log, "utf8")).toMatch(/^(<6>virtio-pstore: .*\n)*<3>virtio-pstore: .*\n$/);
  expect((await run(args, { env: { JOURNAL_STREAM: "1:2" } })).stderr).not.toContain("<");
});
