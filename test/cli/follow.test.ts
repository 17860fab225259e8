import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/patience.js";

const program = join(import.meta.dirname, "..", "..", "bin", "virtio-pstore");

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "pstore-cli-follow-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

/** `virtio-pstore follow`, and what it has shown so far. */
class Following {
  readonly child: ChildProcessWithoutNullStreams;
  stdout = "";
  stderr = "";

  constructor(...args: readonly string[]) {
    this.child = spawn(program, ["follow", ...args]);
    this.child.stdout.on("data", (bytes: Buffer) => {
      this.stdout += bytes.toString();
    });
    this.child.stderr.on("data", (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    onTestFinished(() => {
      this.child.kill("SIGKILL");
    });
  }

  async until(there: () => boolean): Promise<void> {
    await until(there, () => `it shows ${this.stdout}${this.stderr}`);
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const closed = once(this.child, "close");
    this.child.kill(signal);
    await closed;
    return this.child.exitCode;
  }
}

test("follow shows a console as it grows, made printable, and the next boot's; SIGINT ends it", async () => {
  const folder = temporaryFolder();
  const following = new Following(folder);
  await following.until(() => following.stderr.includes("waiting for a console"));
  expect(following.stderr).toContain("take it with --console");
  writeFileSync(join(folder, "console-1"), "one\n\u001b[31m");
  await following.until(() => following.stdout === "one\n\\x1b[31m");
  appendFileSync(join(folder, "console-1"), Buffer.from("caf\u00e9").subarray(0, 4));
  appendFileSync(join(folder, "console-1"), Buffer.from("caf\u00e9\n").subarray(4));
  await following.until(() => following.stdout.endsWith("caf\u00e9\n"));
  writeFileSync(join(folder, "console-2"), "next boot\n");
  await following.until(() => following.stdout.endsWith("next boot\n"));
  expect(following.stderr).toContain("console-2");
  expect(await following.end("SIGINT")).toBe(0);
});

test("follow --raw gives a pipe the guest's own bytes; it ends when nobody reads", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "console-1"), "\u001b[31mred\n");
  const following = new Following(folder, "--raw");
  await following.until(() => following.stdout === "\u001b[31mred\n");
  following.child.stdout.destroy();
  const closed = once(following.child, "exit");
  appendFileSync(join(folder, "console-1"), "more\n");
  await closed;
});

test("follow ends when nobody reads any more, though there is nothing to write", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "console-1"), "one\ntwo\n");
  const piped = spawn("/bin/sh", ["-c", `"${program}" follow "${folder}" | head -n 1`]);
  const following = new Following(folder);
  const ended = Promise.all([once(piped, "close"), once(following.child, "close")]);
  await following.until(() => following.stdout === "one\ntwo\n");
  // A socket, as Node gives its children.
  following.child.stdout.destroy();
  await ended;
  expect(following.child.exitCode).toBe(0);
});

test("follow --guest names one of several guests", async () => {
  const folder = temporaryFolder();
  for (const guest of ["db", "web"]) {
    mkdirSync(join(folder, guest));
    writeFileSync(join(folder, guest, "console-1"), `${guest}\n`);
  }
  const web = new Following(folder, "--guest", "web", "--lines", "1");
  await web.until(() => web.stdout === "web\n");
  expect(await web.end("SIGTERM")).toBe(0);
  const unclear = new Following(folder);
  await once(unclear.child, "close");
  expect(unclear.child.exitCode).toBe(2);
  expect(unclear.stderr).toContain("say --guest, db or web");
});

test.each([
  [["--lines", "many"], 2, "argument 'many' is invalid. It must be a number from 0 to 1000."],
  [["--guest", "web"], 1, "holds no guest web"],
])("follow %j: one line, and its status", async (options, status, message) => {
  const ended = new Following(...options, temporaryFolder());
  await once(ended.child, "close");
  expect(ended.child.exitCode).toBe(status);
  expect(ended.stderr.split("\n")[0]).toMatch(/^virtio-pstore: /);
  expect(ended.stderr).toContain(message);
});

test("follow: an output that can't be written is an error", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "console-1"), "text\n");
  const child = spawn("/bin/sh", ["-c", `"${program}" follow "${folder}" > /dev/full`]);
  let stderr = "";
  child.stderr.on("data", (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  await once(child, "close");
  expect(child.exitCode).toBe(1);
  expect(stderr).toContain("the output can't be written: no space left on device\n");
});

test("follow --wait waits for a directory, or a guest's, that isn't there yet", async () => {
  const folder = temporaryFolder();
  const named = join(folder, "crashes");
  const whole = new Following(named, "--wait");
  const guest = new Following(named, "--guest", "web", "--wait");
  await whole.until(() => whole.stderr === `virtio-pstore: waiting for ${named}\n`);
  await guest.until(() => guest.stderr === `virtio-pstore: waiting for ${named}/web\n`);
  // It is found out which directory it is when there is something in it.
  mkdirSync(named);
  mkdirSync(join(named, "web"));
  writeFileSync(join(named, "web", "console-1"), "one\n");
  for (const following of [whole, guest]) {
    await following.until(() => following.stdout === "one\n");
    expect(await following.end("SIGINT")).toBe(0);
  }
  const unasked = new Following(join(folder, "none"));
  await unasked.until(() => unasked.child.exitCode === 1);
  expect(unasked.stderr).toContain("no such file or directory");
});

test("follow --wait ends by a signal, and when nobody reads", async () => {
  const named = join(temporaryFolder(), "crashes");
  const first = new Following(named, "--wait");
  await first.until(() => first.stderr.includes("waiting for"));
  expect(await first.end("SIGTERM")).toBe(0);
  const second = new Following(named, "--wait");
  await second.until(() => second.stderr.includes("waiting for"));
  second.child.stdout.destroy();
  await second.until(() => second.child.exitCode === 0);
});
