import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { SECTION_MCE } from "../../src/formats/erst/guid.js";
import { encodeStore } from "../support/erst-records.js";
import { run, temporaryFolder } from "./support.js";

const MCE = { id: 2n, sections: [{ type: SECTION_MCE, body: Buffer.alloc(8) }] };
const PART = { id: 7n, body: deflateRawSync("Panic#1 Part1\n<0>[    1.000000] the last words\n") };

function storeFile(bytes = encodeStore({ records: [MCE, PART] })): string {
  const path = join(temporaryFolder(), "erst");
  writeFileSync(path, bytes);
  return path;
}

describe("erst", () => {
  test("create makes a store, info and check read it; it isn't made twice", async () => {
    const path = join(temporaryFolder(), "erst");
    const args = ["erst", "create", path, "--size", "1M", "--record-size", "16K"];
    expect(await run(args)).toEqual({
      status: 0,
      stdout: "",
      stderr: `virtio-pstore: made ${path}: 1M, records of at most 16K\n`,
    });
    const info = await run(["erst", "info", path]);
    expect(info.stdout).toBe(`${path}: 1M, records of at most 16K\n0 of 63 slots used\n`);
    expect(await run(["erst", "check", path])).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await run(args)).toMatchObject({
      status: 1,
      stderr: `virtio-pstore: ${path}: file already exists\n`,
    });
  });

  test.each([
    [["--size", "1M", "--record-size", "5000"], 2, "a record size of 5000"],
    [["--size", "100000"], 2, "a size of 100000: it must be a multiple of the record size"],
    [["--size", "64K"], 2, "no room for any"],
    [["--size", "4G"], 2, "It must be from"],
  ])("create %j: one line, and nothing is made", async (options, status, message) => {
    const path = join(temporaryFolder(), "erst");
    const ended = await run(["erst", "create", path, ...options]);
    expect(ended.status).toBe(status);
    expect(ended.stderr).toContain(message);
    expect(existsSync(path)).toBe(false);
  });

  test("info says what each slot holds, as text and as JSON", async () => {
    const path = storeFile();
    const { stdout } = await run(["erst", "info", path]);
    expect(stdout.split("\n").slice(1)).toEqual([
      "2 of 7 slots used",
      "slot 1: record 0x2, 2026-09-21T14:13:20.000Z, 208 bytes, fatal: machine check",
      "slot 2: record 0x7, 2026-09-21T14:13:20.000Z, 245 bytes, fatal: dmesg, compressed",
      "",
    ]);
    const json = JSON.parse((await run(["erst", "info", "--json", path])).stdout);
    expect(json).toMatchObject({
      path,
      header: { fileBytes: 65536, recordSize: 8192, recordCount: 2 },
      slots: [
        { index: 1, id: "0x2", offset: 8192, type: "mce" },
        { index: 2, id: "0x7", type: "dmesg", sections: [{ offset: 200, length: 45 }] },
      ],
    });
  });

  test("check tells a damaged slot with its offset, exits with 1 and changes nothing", async () => {
    const bytes = encodeStore({ records: [MCE, PART] });
    bytes.writeUInt32LE(9000, 8192 + 20);
    const path = storeFile(bytes);
    const line = "offset 8212: a record length of 9000, where 128 to 8192 can be";
    expect(await run(["erst", "check", path])).toEqual({
      status: 1,
      stdout: `${path}: ${line}\n`,
      stderr: "",
    });
    const { stdout } = await run(["erst", "info", path]);
    expect(stdout).toContain(`slot 1: record 0x2, damaged: ${line}`);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  test.each(["info", "check"])("%s of what is no store: one line, status 1", async (command) => {
    const bytes = encodeStore();
    bytes.writeUInt16LE(0x0200, 16);
    const broken: readonly (readonly [string, string])[] = [
      [storeFile(Buffer.alloc(65536, "x")), "offset 0: no ERST store begins like this"],
      [storeFile(bytes), "offset 16: version 0x200; 0x100 is known"],
      [
        storeFile(encodeStore().subarray(0, 60000)),
        "offset 60000: the file ends within a slot of 8192 bytes",
      ],
    ];
    for (const [path, message] of broken) {
      expect(await run(["erst", command, path])).toEqual({
        status: 1,
        stdout: "",
        stderr: `virtio-pstore: ${path}: ${message}\n`,
      });
    }
  });

  test.each(["list", "show", "rm", "export"])(
    "%s of a file of another version names it",
    async (command) => {
      const bytes = encodeStore();
      bytes.writeUInt16LE(0x0200, 16);
      const path = storeFile(bytes);
      const name = command === "rm" ? ["1"] : [];
      expect(await run([command, path, ...name])).toEqual({
        status: 1,
        stdout: "",
        stderr: `virtio-pstore: ${path}: offset 16: version 0x200; 0x100 is known\n`,
      });
    },
  );

  test("show takes the file in place of a directory", async () => {
    const { status, stdout } = await run(["show", storeFile()]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "<0>[    1.000000] the last words\n" });
  });

  test("show tells a damaged slot once", async () => {
    const bytes = encodeStore({ records: [MCE, PART] });
    bytes.writeUInt32LE(9000, 8192 + 20);
    const { stderr } = await run(["show", storeFile(bytes)]);
    expect(stderr.split("skipped")).toHaveLength(2);
  });
});

test("list tells the first of many damaged slots, and how many more there are", async () => {
  const records = Array.from({ length: 50 }, (_, i) => ({ ...MCE, id: BigInt(i + 1) }));
  const bytes = encodeStore({ fileBytes: 1 << 20, records });
  for (let i = 1; i <= 50; i++) bytes.writeUInt32LE(9000, i * 8192 + 20);
  const lines = (await run(["list", storeFile(bytes)])).stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(6);
  expect(lines[0]).toContain("offset 8212: a record length of 9000");
  expect(lines.at(-1)).toBe("virtio-pstore: skipped 45 more that can't be read");
});

describe("erst watch --once", () => {
  test("keeps also what is damaged, clears it, and bounds what it says of that", async () => {
    const ids = Array.from({ length: 20 }, (_, i) => BigInt(i + 1));
    const records = ids.map((id) => ({ ...MCE, id }));
    const bytes = encodeStore({ fileBytes: 1 << 20, records });
    for (const i of ids.keys()) bytes.writeUInt32LE(0, (i + 1) * 8192);
    const path = storeFile(bytes);
    const directory = join(temporaryFolder(), "records");
    const args = ["erst", "watch", path, "--directory", directory, "--clear", "--once"];
    const { status, stderr } = await run(args);
    const lines = stderr.split("\n").slice(0, -1);
    expect(status, stderr).toBe(0);
    expect(lines.filter((line) => line.includes(": stored "))).toHaveLength(20);
    const damaged = lines.filter((line) => line.endsWith("[DAMAGED]"));
    expect(damaged).toHaveLength(10);
    expect(damaged[0]).toBe(
      "virtio-pstore: warn: record 0x1 was copied as it is, and is damaged: " +
        "offset 8192: the signature is 0x0, not 0x52455043 [DAMAGED]",
    );
    expect(lines.at(-1)).toMatch(/\[DAMAGED\] \(and 9 more like it before\)$/);
    expect(readdirSync(directory).filter((name) => name.startsWith("cper-"))).toHaveLength(20);
    expect((await run(["erst", "info", path])).stdout).toContain("0 of 127 slots used");
  });

  test("leaves as much space free as is asked for, and the record in its slot", async () => {
    const path = storeFile();
    const directory = join(temporaryFolder(), "records");
    const args = ["erst", "watch", path, "--directory", directory, "--clear", "--once"];
    const { status, stderr } = await run([...args, "--min-free", "1000000G"]);
    expect(status).toBe(1);
    expect(stderr).toContain("warn: record 0x7 wasn't copied: ");
    expect(stderr).toContain("storing it would leave less free space than --min-free");
    expect((await run(["erst", "info", path])).stdout).toContain("2 of 7 slots used");
  });

  test("with --qmp clears nothing that the monitor doesn't let it, though nobody is seen", async () => {
    const path = storeFile();
    const directory = join(temporaryFolder(), "records");
    const qmp = join(temporaryFolder(), "qmp");
    const monitor = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.end('{"error": {"desc": "not now"}}\n');
    });
    onTestFinished(() => {
      monitor.close();
    });
    await new Promise<void>((resolve) => monitor.listen(qmp, resolve));
    const args = ["erst", "watch", path, "--directory", directory, "--once", "--qmp"];
    const { status, stderr } = await run([...args, qmp]);
    expect(stderr).toContain("copied records can't be cleared: not now\n");
    expect(status).toBe(1);
    expect((await run(["erst", "info", path])).stdout).toContain("2 of 7 slots used");
    expect((await run([...args, `${qmp}-of-nobody`])).status).toBe(0);
    expect((await run(["erst", "info", path])).stdout).toContain("0 of 7 slots used");
  });
});

describe("run --erst", () => {
  test("is for QEMU, and for one that has the device", async () => {
    const erst = join(temporaryFolder(), "erst");
    expect(await run(["run", "--erst", erst, "--vmm", "uml", "--", "true"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--erst is for QEMU"),
    });
    expect(await run(["run", "--erst", erst, "--vmm", "qemu", "--", "true"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("true has no acpi-erst: QEMU 7.0 is the first that does"),
    });
    expect(existsSync(erst)).toBe(false);
  });
});

test("show of a record that is no crash offers no command, as a slot has no path", async () => {
  const path = storeFile();
  expect(await run(["show", path, "mce-erst-2"])).toEqual({
    status: 1,
    stdout: "",
    stderr: `virtio-pstore: ${path} holds no crash mce-erst-2\n`,
  });
});
