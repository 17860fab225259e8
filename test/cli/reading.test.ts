import { spawn } from "node:child_process";
import { readFileSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { commandTable } from "../../src/cli/command-table.js";
import { addCommands } from "../../src/cli/commands.js";
import { EXAMPLES } from "../../src/cli/help.js";
import { oneGuest } from "./crashes.js";
import { complaint, program, put, run, temporaryFolder } from "./support.js";

describe("what a guest made large", () => {
  const MIB = 1 << 20;
  /** The program with little memory for everything that isn't the program: from Node 24 on V8 takes 560 MB of it. */
  const small = { command: "/bin/sh" };
  const limited = (...args: readonly string[]) =>
    run(["-c", 'ulimit -d 1000000; exec "$@"', "sh", program, ...args], small);

  test("records that inflate to far more than a record holds", async () => {
    const folder = temporaryFolder();
    const bomb = Buffer.alloc(64 * MIB);
    bomb.write("Panic#1 Part1\n");
    const stored = deflateRawSync(bomb);
    for (let id = 1; id <= 30; id++) put(join(folder, `dmesg-${id}.enc.z`), stored, id);
    put(join(folder, "dmesg-31"), "Panic#1 Part1\nlast words\n", 31);
    const listed = await limited("list", folder);
    expect(listed).toMatchObject({ status: 0, stderr: "" });
    expect(listed.stdout.trimEnd().split("\n")).toHaveLength(32);
    expect((await limited("list", "--records", folder)).stdout).toContain("dmesg-30.enc.z");
    expect(await limited("show", folder)).toMatchObject({ status: 0, stdout: "last words\n" });
  });

  test("a console of gigabytes, and a text that is longer than a string can be", async () => {
    const folder = temporaryFolder();
    const path = put(join(folder, "console-1"), "first\n", 1);
    truncateSync(path, 3 * 1024 * MIB);
    const { status, stdout } = await limited("list", "--records", folder);
    expect(status).toBe(0);
    expect(stdout).toMatch(/console-1 .* 3G {4}3G {4}-/);
    const shown = (filter: string) =>
      run(["-c", `ulimit -d 1000000; "${program}" show "${path}" | ${filter}`], small);
    expect(await shown("head -c 10")).toMatchObject({
      status: 0,
      stdout: "first\n\\x00",
      stderr: "",
    });
    truncateSync(path, 4 * MIB);
    const bytes = 6 + 4 * (4 * MIB - 6);
    expect(await shown("wc -c")).toMatchObject({ status: 0, stdout: `${bytes}\n`, stderr: "" });
  });

  test.each([["show console-1"], ["--help"], ["show --help"], ["--version"]])(
    "%s: an output that can't be written is an error",
    async (line) => {
      const folder = temporaryFolder();
      put(join(folder, "console-1"), "text\n", 1);
      const ended = await run(["-c", `cd ${folder}; ${program} ${line} > /dev/full`], small);
      expect(ended.status).toBe(1);
      expect(complaint(ended)).toEqual([
        "virtio-pstore: the output can't be written: no space left on device",
      ]);
    },
  );
});

describe("show", () => {
  test("shows the newest dump, harmless to a terminal, and says what it is on stderr", async () => {
    const { status, stdout, stderr } = await run(["show", oneGuest()]);
    expect(status).toBe(0);
    expect(stdout).toBe("<0>panic\\x1b[31m\\x9b\n");
    expect(stderr.split("\n")).toEqual([
      "virtio-pstore: dmesg-4: Panic (Panic#2 at 1970-01-01T00:16:43.000Z, 1 part)",
      "virtio-pstore: this is the newest of 2 crashes; --all shows every one",
      "",
    ]);
  });

  test("--all shows every dump, oldest first, its parts joined oldest first", async () => {
    const { stdout, stderr } = await run(["show", "--all", oneGuest()]);
    expect(stdout).toBe("<4>oldest\n<4>newest\n<0>panic\\x1b[31m\\x9b\n");
    expect(stderr).toContain("dmesg-1: Oops (Oops#1 at 1970-01-01T00:16:40.000Z, 2 parts)\n");
  });

  test("--raw gives the guest's bytes as they are", async () => {
    const { stdout } = await run(["show", "--raw", oneGuest()]);
    expect(stdout).toBe("<0>panic\u001b[31m\u009b\n");
  });

  test("of several guests the newest dump is shown, whatever the guests' names", async () => {
    const folder = temporaryFolder();
    put(join(folder, "alpha", "dmesg-1"), "Panic#1 Part1\nnewer\n", 2000);
    put(join(folder, "beta", "dmesg-1"), "Panic#1 Part1\nolder\n", 1000);
    const { stdout, stderr } = await run(["show", folder]);
    expect(stdout).toBe("newer\n");
    expect(stderr).toContain("virtio-pstore: alpha/dmesg-1: Panic (Panic#1 at");
    expect((await run(["show", "--all", folder])).stdout).toBe("older\nnewer\n");
  });

  test("one record's file shows what it holds: a part or a console", async () => {
    const folder = oneGuest();
    const shown = async (name: string) => run(["show", join(folder, name)]);
    expect(await shown("dmesg-2.enc.z")).toMatchObject({ status: 0, stdout: "<4>oldest\n" });
    expect(await shown("console-3")).toMatchObject({ stdout: "console\\x1b[2J\n", stderr: "" });
  });

  test("what nobody can read is one line and a hint, and --raw gives the bytes", async () => {
    const folder = temporaryFolder();
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 37 + 128) % 256));
    for (const [name, what] of [
      ["dmesg-7.enc.z", "can't be decompressed"],
      ["dmesg-8.gz", "can't be decompressed"],
      ["dmesg-9", "is no text"],
    ] as const) {
      const path = put(join(folder, name), bytes, 1);
      const line = `${path} ${what}: 4096 bytes; \`virtio-pstore show --raw\` of that file gives them`;
      const ended = await run(["show", path]);
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(complaint(ended)).toEqual([`virtio-pstore: ${line}`]);
      expect((await run(["show", folder, name])).stdout).toBe(`[virtio-pstore: ${line}]\n`);
      const copy = join(folder, "copy");
      await run(["-c", `${program} show --raw ${path} > ${copy}`], { command: "/bin/sh" });
      expect(readFileSync(copy).equals(bytes)).toBe(true);
    }
    const listed = (await run(["list", folder])).stdout.trimEnd().split("\n").slice(1);
    for (const row of listed) expect(row).toMatch(/ 1\+ .* unreadable$/);
  });

  test("text of any script without a header is text, colours and a strange byte among it", async () => {
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), "\u001b[1mядро: паника\u001b[0m\u0007\n", 1);
    expect((await run(["show", folder])).stdout).toBe("\\x1b[1mядро: паника\\x1b[0m\\x07\n");
  });

  test.each([["2"], ["--guest", "web"], ["--since", "1d"], ["--console"]])(
    "one record's file and %s: status 2, not something else than was asked for",
    async (...more) => {
      const path = join(oneGuest(), "dmesg-4");
      const ended = await run(["show", path, ...more]);
      expect(ended).toMatchObject({ status: 2, stdout: "" });
      expect(complaint(ended)[0]).toContain(`${path} is one record, which is shown whole: leave`);
    },
  );

  test("--ftrace, --console and --pmsg show the newest of another type", async () => {
    const folder = oneGuest();
    const boot = "ab".repeat(16);
    put(join(folder, "console-7"), "later boot\u001b[2J\n", 2000);
    put(join(folder, ".streams"), `${boot} console-7\n`, 2000);
    put(join(folder, "pmsg-8"), "user space\n", 2001);
    put(join(folder, "ftrace-9"), `Panic#2 Part1 boot=${boot} oldest-first\na call\n`, 2002);
    const shown = (...options: readonly string[]) => run(["show", ...options, folder]);
    expect(await shown("--console")).toEqual({
      status: 0,
      stdout: "later boot\\x1b[2J\n",
      stderr: [
        `virtio-pstore: console-7, boot ${boot}, last written 1970-01-01T00:33:20.000Z\n`,
        "virtio-pstore: this is the newest of 2 boots; --all shows every one\n",
      ].join(""),
    });
    expect((await shown("--console", "--all", "--raw")).stdout).toBe(
      "console\u001b[2J\nlater boot\u001b[2J\n",
    );
    expect((await shown("--pmsg")).stdout).toBe("user space\n");
    expect(await shown("--ftrace")).toEqual({
      status: 0,
      stdout: "a call\n[virtio-pstore: the dump is cut short here: its last part is missing]\n",
      stderr: `virtio-pstore: ftrace: Panic#2 at 1970-01-01T00:33:22.000Z, boot ${boot}, 1 part, cut short\n`,
    });
    expect((await shown()).stdout).toBe("<0>panic\\x1b[31m\\x9b\n");
    expect(await shown("--pmsg", "--ftrace")).toMatchObject({ status: 2, stdout: "" });
  });

  test("a missing part is named where it is missing", async () => {
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), "Panic#1 Part2\nolder\n", 1);
    expect((await run(["show", folder])).stdout).toBe(
      "older\n[virtio-pstore: part 1 is missing]\n",
    );
  });

  test("symbolic links with a record's name aren't followed", async () => {
    const folder = temporaryFolder();
    symlinkSync("/etc/passwd", join(folder, "dmesg-1"));
    const ended = await run(["show", folder]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([`virtio-pstore: ${folder} holds no crash`]);
  });

  test("a reader that goes away is no error", async () => {
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), `Panic#1 Part1\n${"a long line\n".repeat(100_000)}`, 1);
    const child = spawn(program, ["show", folder], { stdio: ["ignore", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.once("data", () => {
      child.stdout.destroy();
    });
    await new Promise((resolve) => child.on("close", resolve));
    expect(stderr.split("\n")).toHaveLength(2);
    expect(stderr).toMatch(/^virtio-pstore: dmesg-1: Panic /);
  });
});

describe("errors of both: one line, status 1", () => {
  test.each(["list", "show"])("%s: a path that isn't there", async (command) => {
    const ended = await run([command, "/nowhere/records"]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      "virtio-pstore: /nowhere/records: no such file or directory",
    ]);
  });

  test.each(["list", "show"])("%s: a file that is no record", async (command) => {
    const path = put(join(temporaryFolder(), "README.md"), "text", 1);
    const ended = await run([command, path]);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${path} is neither a record nor an ERST file: a record's file is called dmesg-ID, ftrace-ID, console-ID or pmsg-ID, or with a back-end's name as dmesg-efi_pstore-ID, with .enc.z or .gz behind it where it is compressed; text is called dmesg.txt, or begins as pstore's, with Panic#1 Part1`,
    ]);
  });

  test("show: a directory with only consoles", async () => {
    const folder = temporaryFolder();
    put(join(folder, "console-1"), "text", 1);
    const ended = await run(["show", folder]);
    expect(ended.status).toBe(1);
    expect(complaint(ended)).toEqual([
      `virtio-pstore: ${folder} holds no crash, but console output: \`virtio-pstore show ${folder}/console-1\` shows it`,
    ]);
  });

  test("show: a directory without records", async () => {
    const folder = temporaryFolder();
    const ended = await run(["show", folder]);
    expect(ended.status).toBe(1);
    expect(complaint(ended)).toEqual([`virtio-pstore: ${folder} holds no crash`]);
  });

  test.each(["list", "show"])("%s: without a path: status 2", async (command) => {
    const ended = await run([command]);
    expect(ended.status).toBe(2);
    expect(complaint(ended)).toEqual(["virtio-pstore: missing required argument 'path'"]);
  });
});

describe("the program", () => {
  const commands = "run serve list show follow watch stats export rm completion man".split(" ");

  test.each([["watch"], ["erst", "watch"]])("hints at the help of %s %s", async (...words) => {
    const { status, stderr } = await run([...words, "/tmp"]);
    expect(status).toBe(2);
    expect(stderr).toContain(`Try \`virtio-pstore ${words.join(" ")} --help\`.\n`);
  });

  test.each(commands)("%s --help", async (command) => {
    const { status, stdout, stderr } = await run([command, "--help"]);
    expect(status).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toMatch(new RegExp(`^Usage: virtio-pstore ${command} `));
    expect(stdout).not.toContain("--sync-threads");
    expect(stdout).not.toContain("default: false");
    // Paragraphs are broken at 80 columns and nowhere else.
    const lines = stdout.split("\n");
    for (const [i, line] of lines.entries()) {
      expect(line.length).toBeLessThanOrEqual(80);
      const [next = ""] = lines[i + 1]?.split(" ") ?? [];
      if (/^[A-Z].*[^:]$/.test(line) && next !== "") {
        expect(line.length + 1 + next.length).toBeGreaterThan(80);
      }
    }
  });

  test.each(Object.entries(EXAMPLES))(
    "%s --help has examples that it can read",
    async (command, lines) => {
      const { stdout } = await run([...command.split(" "), "--help"]);
      expect(lines).toHaveLength(2);
      expect(stdout).toContain(`\nExamples:\n${lines.map((line) => `  ${line}\n`).join("")}`);
      for (const line of lines) {
        expect(line).toContain(`virtio-pstore ${command} `.trimEnd());
        // What stands behind -- is another program's.
        const [own = ""] = line.split(/ -- | \| /);
        for (const [option] of own.matchAll(/(?<= )--?[a-z][a-z-]*/g)) {
          expect(stdout).toMatch(new RegExp(`^  .*${option}[ ,]`, "m"));
        }
      }
    },
  );

  test("every command has examples", async () => {
    const table = await commandTable(addCommands);
    const names = table.map(({ name }) => name).filter((name) => name !== "erst");
    expect(Object.keys(EXAMPLES).sort()).toEqual(names.sort());
  });

  test("--help names every command", async () => {
    const { status, stdout } = await run(["--help"]);
    expect(status).toBe(0);
    for (const command of commands) expect(stdout).toContain(`  ${command} `);
  });

  test("--version", async () => {
    const { status, stdout } = await run(["--version"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+\n$/);
  });

  test("an unknown command: one line, status 2", async () => {
    const ended = await run(["sevre"]);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    expect(ended.stderr).toMatch(/^virtio-pstore: unknown command 'sevre'/);
    expect(ended.stderr).toMatch(/Try `virtio-pstore --help`.\n$/);
  });

  test("no command: how it is used, status 2", async () => {
    const { status, stderr } = await run([]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^Usage: virtio-pstore/);
  });
});

describe("raw dumps, traces and streams", () => {
  const boot = "0123456789abcdef".repeat(2);
  const head = (part: number, more = "") =>
    `Panic#1 Part${part} boot=${boot} time=1790000000.000000001 oldest-first${more}\n`;

  function folderOfAll(): string {
    const folder = temporaryFolder();
    put(join(folder, "console-1"), "one\n", 1000);
    put(join(folder, "pmsg-2"), "message\n", 1001);
    put(join(folder, "dmesg-3"), `${head(1)}<4>oldest\n`, 1002);
    put(join(folder, "ftrace-4"), `${head(1, " last")}trace\n`, 1003);
    put(join(folder, "dmesg-5.gz"), gzipSync(`${head(2)}<4>newest\n`), 1004);
    put(join(folder, "console-6"), "two\n", 1005);
    put(join(folder, ".streams"), `${boot} console-1\n${boot} pmsg-2\n`, 1006);
    return folder;
  }

  test("list tells their boots, where there are any", async () => {
    const { stdout } = await run(["list", "--records", folderOfAll()]);
    const rows = stdout.trimEnd().split("\n");
    const cells = rows.map((row) => row.split(/ {2,}/)).map((row) => [row[0], ...row.slice(-2)]);
    expect(cells).toEqual([
      ["RECORD", "BOOT", "DUMP"],
      ["console-1", "01234567", "-"],
      ["pmsg-2", "01234567", "-"],
      ["dmesg-3", "01234567", "Panic#1 part 1"],
      ["ftrace-4", "01234567", "Panic#1 part 1, the last"],
      ["dmesg-5.gz", "01234567", "Panic#1 part 2"],
      ["console-6", "-", "-"],
    ]);
  });

  test("list --json tells the boot and all that the header says", async () => {
    const { stdout } = await run(["list", "--records", "--json", folderOfAll()]);
    const records = JSON.parse(stdout) as { readonly header?: unknown }[];
    expect(records[0]).toMatchObject({ type: "console", boot });
    expect(records[3]?.header).toEqual({
      ...{ reason: "Panic", count: 1, part: 1, boot, guestTime: "1790000000.000000001" },
      ...{ oldestFirst: true, last: true },
    });
  });

  test("show joins a raw dump oldest first, and says that its end is missing", async () => {
    const { stdout, stderr } = await run(["show", folderOfAll()]);
    expect(stdout).toBe(
      "<4>oldest\n<4>newest\n[virtio-pstore: the dump is cut short here: its last part is missing]\n",
    );
    expect(stderr).toContain(`boot ${boot}, 2 parts, cut short`);
  });

  test.each([
    ["--ftrace", "trace\n"],
    ["--console", "two\n"],
    ["--pmsg", "message\n"],
  ])("show %s shows the newest of its kind", async (option, text) => {
    expect((await run(["show", option, folderOfAll()])).stdout).toBe(text);
  });

  test("show --console --all shows every boot's, oldest first", async () => {
    const { stdout, stderr } = await run(["show", "--console", "--all", folderOfAll()]);
    expect(stdout).toBe("one\ntwo\n");
    expect(stderr).toContain(`console-1, boot ${boot}, last written`);
  });

  test("show takes one kind at a time", async () => {
    expect((await run(["show", "--console", "--ftrace", folderOfAll()])).status).toBe(2);
  });
});

describe("what a device takes", () => {
  test.each([
    ["nonsense", "argument 'nonsense' is invalid. It must be some of dmesg,console,ftrace,pmsg."],
    ["console", "It can't go without dmesg."],
    ["", "It must be some of"],
  ])("--types %j is refused", async (types, message) => {
    const args = ["serve", "--socket-path", "/nowhere/socket", "--directory", "/nowhere"];
    const { status, stderr } = await run([...args, "--types", types]);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });
});
