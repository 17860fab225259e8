import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { complaint, put, run, temporaryFolder } from "./support.js";

const main = fileURLToPath(new URL("../../dist/program/main.js", import.meta.url));

/** A directory with a crash. Nothing is in $PATH. */
function crash(...lines: readonly string[]) {
  const folder = temporaryFolder();
  put(join(folder, "crashes", "dmesg-1"), ["Panic#1 Part1", ...lines, ""].join("\n"), 1);
  const show = (...args: readonly string[]) =>
    run([main, "show", join(folder, "crashes"), ...args], {
      command: process.execPath,
      env: { PATH: join(folder, "nothing") },
    });
  return { folder, show };
}

describe("show with symbols", () => {
  test("what is no use as symbols: one line, status 1", async () => {
    const { folder, show } = crash("panic");
    const text = join(folder, "text");
    writeFileSync(
      text,
      "nothing of use, but long enough for the header of an ELF file to fit in here\n",
    );
    const none = join(folder, "none");
    const fifo = join(folder, "fifo");
    execFileSync("mkfifo", [fifo]);
    for (const [option, path, line] of [
      ["--vmlinux", text, `${text} is no ELF file of 64 bits in little-endian order`],
      ["--vmlinux", folder, `${folder} is no file`],
      ["--vmlinux", fifo, `${fifo} is no file`],
      ["--system-map", fifo, `${fifo} is no file`],
      ["--vmlinux", none, `${none}: no such file or directory`],
      ["--system-map", text, `${text} is no System.map: no line is "address type name"`],
      [
        "--debug-dir",
        folder,
        `${folder} holds neither vmlinux nor modules (NAME.ko, NAME.ko.debug)`,
      ],
    ] as const) {
      const ended = await show(option, path);
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(complaint(ended)).toEqual([`virtio-pstore: ${line}`]);
    }
    expect((await show("--system-map", text, "--json")).status).toBe(2);
    writeFileSync(join(folder, "foo-bar.ko"), "");
    expect(complaint(await show("--debug-dir", folder))).toEqual([
      "virtio-pstore: neither llvm-symbolizer nor addr2line is in $PATH: install llvm or binutils",
    ]);
  });

  test("addresses stay as they are where the log doesn't say what KASLR added", async () => {
    const address = "RAX: ffffffff81000010 RBX: ffffffff91000010";
    const map = "ffffffff81000000 T _text\nffffffff81000020 B _end\n";
    for (const [last, shown] of [
      ["BUG: of an oops", address],
      ["Kernel Offset: disabled", "RAX: ffffffff81000010 (_text+0x10) RBX: ffffffff91000010"],
      [
        "Kernel Offset: 0x10000000 from 0xffffffff81000000",
        "RAX: ffffffff81000010 RBX: ffffffff91000010 (_text+0x10)",
      ],
    ] as const) {
      const { folder, show } = crash(address, last);
      writeFileSync(join(folder, "System.map"), map);
      const { stdout } = await show("--system-map", join(folder, "System.map"));
      expect(stdout).toContain(`${shown}\n`);
    }
  });

  test("names of symbols are made printable, too: the file may have come with the guest", async () => {
    const { folder, show } = crash("RAX: ffffffff81000010", "Kernel Offset: disabled");
    writeFileSync(
      join(folder, "System.map"),
      "ffffffff81000000 T _text\u001b[2J\nffffffff81000020 B _end\n",
    );
    const { stdout } = await show("--system-map", join(folder, "System.map"));
    expect(stdout).toContain("RAX: ffffffff81000010 (_text\\x1b[2J+0x10)\n");
  });
});
