import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ErstFile, expectUnused } from "../../src/formats/erst/index.js";
import { inRoot } from "../../vm/chroot.js";
import { qemuGuest, runGuest } from "../../vm/guest.js";
import { type KernelName, kernelNames } from "../../vm/kernel.js";
import { inVm } from "../../vm/paths.js";
import { buildErstTable, FIRST_PORT } from "../erst-device/table.js";
import { until } from "../support/patience.js";
import { describeGuests, dumpTexts, panic, program, temporaryFolder } from "./support.js";

/** In the middle of a guest's 256 MiB. */
const BASE = 0x800_0000;

function tableFile(bytes: number): string {
  const path = join(temporaryFolder(), "erst.aml");
  writeFileSync(path, buildErstTable({ port: FIRST_PORT.ich9, base: BASE, bytes }));
  return path;
}

describeGuests("the port device's ACPI table", () => {
  it("is disassembled by iasl without a complaint", async () => {
    const root = inVm("bookworm");
    const folder = "/build/erst";
    onTestFinished(() => {
      rmSync(join(root, folder), { recursive: true, force: true });
    });
    mkdirSync(join(root, folder), { recursive: true });
    cpSync(tableFile(4 << 20), join(root, folder, "erst.aml"));
    const command = ["iasl", "-d", "erst.aml"];
    const { status, output } = await inRoot(root, command, { cwd: folder });
    expect(status, output).toBe(0);
    expect(output).not.toMatch(/warning|invalid|unknown|exception|failed|errors?:/i);
    const { output: text } = await inRoot(root, ["cat", "erst.dsl"], { cwd: folder });
    expect(text).not.toMatch(/invalid|unknown|\*\*\*/i);
    expect(text.match(/Action : /g)).toHaveLength(18);
    expect(text).toMatch(/\[Get Error.* Length\]/);
  });

  it.each(kernelNames)("is taken by Linux %s, which registers erst", async (kernel) => {
    // No ports are there: all read as ones, as the device's execute register does.
    const bytes = kernel === "6.1" ? 8192 : 4 << 20;
    const { output } = await runGuest(
      await qemuGuest({
        kernel,
        driver: false,
        append: `memmap=${bytes / 1024}K$0x${BASE.toString(16)}`,
        arguments: ["-acpitable", `file=${tableFile(bytes)}`],
        script: "dmesg | grep -E 'ERST|pstore'; grep -i 'APEI ERST' /proc/iomem /proc/ioports\n",
      }),
    );
    expect(output).toContain("Error Record Serialization Table (ERST) support is initialized.");
    expect(output).toContain("Registered erst as persistent store backend");
    const [first, last] = [BASE + 8, BASE + bytes - 1];
    const range = [first, last].map((at) => at.toString(16).padStart(8, "0")).join("-");
    expect(output).toContain(`${range} : APEI ERST`);
    expect(output).toContain("0a20-0a22 : APEI ERST");
    expect(output).toContain("0a24-0a2f : APEI ERST");
  });
});

/** A stock kernel without a module of ours, which panics after it wrote a token to its log. */
function stockGuest(
  kernel: KernelName,
  token: string,
  more: { append?: string; pstore?: string; log?: string } = {},
): Promise<string[]> {
  const script = `${more.log ?? ""}echo ${token} > /dev/kmsg\n${panic}`;
  const { append = "", pstore } = more;
  const mount = pstore === undefined ? {} : { pstoreMount: pstore };
  return qemuGuest({ kernel, driver: false, script, append, ...mount });
}

const runWithErst = (path: string, argv: readonly string[]) =>
  runGuest([program, "run", "--erst", path, "--", ...argv]);

/** The ids of a store's records that nothing is wrong with. */
function goodIds(path: string): bigint[] {
  const file = new ErstFile(path);
  try {
    return file.slots().flatMap(({ record }) => record?.id ?? []);
  } finally {
    file.close();
  }
}

describeGuests("a stock guest's dump in the file of QEMU's acpi-erst", () => {
  it.each(kernelNames)("Linux %s", async (kernel) => {
    const path = join(temporaryFolder(), "erst");
    const result = await runWithErst(path, await stockGuest(kernel, "the-token"));
    expect(result.status, result.output).toBe(0);
    expect(result.output).toContain(`virtio-pstore: ${path} has a new record`);
    const [text, ...others] = dumpTexts(path);
    expect(others).toEqual([]);
    expect(text).toContain("the-token");
    expect(text).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });

  it("is there while QEMU still runs, and can't be removed until it has ended", async () => {
    const path = join(temporaryFolder(), "erst");
    // panic=0: the guest stays where it died.
    const argv = await stockGuest("6.1", "still-running", { append: "panic=0" });
    const qemu = spawn(program, ["run", "--erst", path, "--", ...argv], { stdio: "ignore" });
    const ended = new Promise((resolve) => qemu.on("close", resolve));
    onTestFinished(() => {
      qemu.kill("SIGKILL");
    });
    await until(
      () => existsSync(path) && goodIds(path).length > 0,
      () => "the guest's dump never came",
    );
    expect(dumpTexts(path)[0]).toContain("still-running");
    expect(qemu.exitCode).toBeNull();
    const [id = 0n] = goodIds(path);
    expect(() => {
      expectUnused(path);
    }).toThrow(/uses it/);
    qemu.kill("SIGTERM");
    await ended;
    expectUnused(path);
    expect(goodIds(path)).toEqual([id]);
  });

  it("several crashes in a row, and a store that is full", async () => {
    const path = join(temporaryFolder(), "erst");
    // Slots for three records of 8 KiB: a dump of two parts each, as pstore stops after 10,240 bytes.
    ErstFile.create(path, 4 * 8192, 8192);
    await runWithErst(path, await stockGuest("6.1", "the-first"));
    const first = goodIds(path);
    expect(first).toHaveLength(2);
    await runWithErst(path, await stockGuest("6.1", "the-second"));
    expect(goodIds(path)).toHaveLength(3);
    await runWithErst(path, await stockGuest("6.1", "the-third"));
    expect(goodIds(path)).toHaveLength(3);
    const texts = dumpTexts(path);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain("the-first");
    expect(texts[1]).toContain("the-second");
  });

  it("a record of 1 MiB in a store of 16 MiB: a log of 700 KB is one part", async () => {
    const path = join(temporaryFolder(), "erst");
    ErstFile.create(path, 16 << 20, 1 << 20);
    const log = [
      "awk 'BEGIN { for (n = 1; n <= 8000; n++) {",
      '  printf "line %d %x %x %060d\\n", n, n * 7919, n * 104729, n > "/dev/kmsg"',
      '  fflush("/dev/kmsg") } }\'\n',
    ].join("\n");
    const options = {
      append: "log_buf_len=4M printk.devkmsg=on",
      pstore: "kmsg_bytes=4194304",
      log,
    };
    const result = await runWithErst(path, await stockGuest("6.1", "a-large-one", options));
    const [text = "", ...others] = dumpTexts(path);
    expect(others, result.output).toEqual([]);
    expect(text.length).toBeGreaterThan(700_000);
    expect(text).toContain("a-large-one");
  });
});

describeGuests("a machine check", () => {
  it("leaves a record of its own in the file, kept byte for byte, and a dump", async () => {
    const folder = temporaryFolder();
    const at = (name: string) => join(folder, name);
    // Debian's 6.1 for the cloud knows no machine checks.
    const argv = await qemuGuest({
      kernel: "7.3",
      driver: false,
      script: "echo the-guest-is-up\nsleep 600\n",
      arguments: ["-monitor", `unix:${at("monitor")},server=on,wait=off`],
    });
    const qemu = spawn(program, ["run", "--erst", at("erst"), "--", ...argv]);
    let output = "";
    qemu.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const ended = new Promise((resolve) => qemu.on("close", resolve));
    onTestFinished(() => {
      qemu.kill("SIGKILL");
    });
    await until(
      () => output.includes("the-guest-is-up"),
      () => output,
    );
    // Valid, uncorrected, enabled, of a context that is corrupt (IA32_MCi_STATUS); in progress (IA32_MCG_STATUS).
    const status = 0xb200_0000_0000_0000n;
    createConnection(at("monitor"))
      .on("error", () => undefined)
      .end(`mce 0 4 ${status} 4 0 0\n`);
    await ended;
    const json = (...args: readonly string[]) =>
      JSON.parse(
        execFileSync(program, ["list", "--records", "--json", ...args], { encoding: "utf8" }),
      ) as { type: string }[];
    expect(json(at("erst")).map(({ type }) => type)).toEqual(["mce", "dmesg"]);
    expect(dumpTexts(at("erst"))[0]).toContain(
      "Kernel panic - not syncing: Fatal local machine check",
    );

    const copying = ["erst", "watch", at("erst"), "--directory", at("records"), "--once"];
    execFileSync(program, copying, { stdio: "ignore" });
    const kept = readdirSync(at("records")).filter((name) => name.startsWith("cper-"));
    const cper = readFileSync(join(at("records"), kept[0] ?? ""));
    // The record's header, one section's, and Linux's struct mce, which begins with the bank's status.
    expect(cper.readBigUInt64LE(128 + 72)).toBe(status);
    expect(readFileSync(at("erst")).includes(cper)).toBe(true);
  });
});

/** `erst watch`, which tells what it stored on stderr. */
function watch(...args: readonly string[]) {
  const child = spawn(program, ["erst", "watch", ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return {
    log: () => log,
    kill: (signal: NodeJS.Signals) => {
      child.kill(signal);
      return ended;
    },
  };
}

describeGuests("erst watch", () => {
  it("copies the dumps of several boots once, through its own restarts, and clears them", async () => {
    const folder = temporaryFolder();
    const [path, directory, qmp] = ["erst", "records", "qmp"].map((name) => join(folder, name));
    if (path === undefined || directory === undefined || qmp === undefined) throw new Error();
    // Quota for two dumps: without clearing, the third crash would be lost.
    ErstFile.create(path, 8 * 8192, 8192);
    let watcher = watch(path, "--directory", directory, "--qmp", qmp);
    const monitor = ["-qmp", `unix:${qmp},server=on,wait=off`];
    for (const token of ["the-first", "the-second", "the-third", "the-fourth"]) {
      const argv = await stockGuest("6.1", token, { append: "panic=0" });
      const args = ["run", "--erst", path, "--", ...argv, ...monitor];
      const qemu = spawn(program, args, { stdio: "ignore" });
      const ended = new Promise((resolve) => qemu.on("close", resolve));
      const has = () =>
        existsSync(directory) && dumpTexts(directory).some((text) => text.includes(token));
      await until(has, watcher.log);
      // While QEMU runs, and without a part that is still to come: both are of one dump.
      await until(() => goodIds(path).length === 0, watcher.log);
      if (token === "the-second") {
        await watcher.kill("SIGKILL");
        watcher = watch(path, "--directory", directory, "--qmp", qmp);
      }
      qemu.kill("SIGTERM");
      await ended;
    }
    expect(await watcher.kill("SIGTERM")).toBe(0);
    const texts = dumpTexts(directory);
    expect(texts).toHaveLength(4);
    for (const [i, token] of ["the-first", "the-second", "the-third", "the-fourth"].entries()) {
      expect(texts[i]).toContain(token);
      expect(texts[i]).toContain("Kernel panic - not syncing: sysrq triggered crash");
    }
  });
});
