import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { inRoot } from "../../vm/chroot.js";
import { checkout, inVm } from "../../vm/paths.js";
import { run } from "../../vm/process.js";
import { writeProgram } from "../../vm/qemu.js";
import {
  crashGuest,
  crashModule,
  describeGuests,
  runWithDevice,
  temporaryFolder,
} from "./support.js";

const root = inVm("bookworm");

/** A folder that holds bookworm's addr2line, started with the libraries it was built for, and nothing else. */
function addr2lineFolder(): string {
  const folder = temporaryFolder();
  const start = `${root}/usr/lib64/ld-linux-x86-64.so.2 --library-path ${root}/usr/lib/x86_64-linux-gnu`;
  writeProgram(
    join(folder, "addr2line"),
    `#!/bin/sh\nexec ${start} ${root}/usr/bin/addr2line "$@"\n`,
  );
  return folder;
}

/** What `show` prints and says, with no other program in $PATH than addr2line. */
async function show(...args: readonly string[]): Promise<string> {
  const main = join(checkout, "dist", "src", "cli", "main.js");
  const env = { ...process.env, PATH: addr2lineFolder() };
  const { status, output } = await run(process.execPath, [main, "show", ...args], { env });
  expect(status, output).toBe(0);
  return output;
}

/** The number of the only line that is no more than a text. */
function lineOf(path: string, text: string): number {
  const lines = readFileSync(path, "utf8").split("\n");
  const [first, ...others] = lines.flatMap((line, index) =>
    line.trim() === text ? [index + 1] : [],
  );
  if (first === undefined || others.length > 0) throw new Error(`${text} isn't once in ${path}`);
  return first;
}

describeGuests("show writes file and line", () => {
  it("of a module that a real guest died in", async () => {
    const directory = join(temporaryFolder(), "crashes");
    // Nobody calls nmi_panic(), so that the panic is crash_init()'s, out of crash_probe(), which GCC inlines there.
    const script = "insmod /crash.ko how=probe probe=nmi_panic probe_when=panic\n";
    await runWithDevice(directory, await crashGuest("6.12", { script }));
    const modules = dirname(await crashModule("6.12"));
    const text = await show(directory, "--debug-dir", modules);

    const source = join(checkout, "test", "vm", "crash", "crash.c");
    const panics = lineOf(source, 'panic("crash: %s", text);');
    const inits = lineOf(source, "return crash_probe();");
    const probes = lineOf(source, 'crash_panic("before %s", probe);');
    expect(text).toMatch(
      new RegExp(`crash_panic\\+0x\\w+/0x\\w+ \\[crash\\] \\(/\\S+/crash.c:${panics}\\)\n`),
    );
    const inlined = `\n +crash_probe \\(/\\S+/crash.c:${probes}\\) \\(inlined\\)\n`;
    expect(text).toMatch(
      new RegExp(`crash_init\\+0x\\w+/0x\\w+ \\[crash\\] \\(/\\S+/crash.c:${inits}\\)${inlined}`),
    );
  });

  it("of a kernel's functions and addresses, from vmlinux, and symbols from System.map", async () => {
    const folder = temporaryFolder();
    const source = join(checkout, "test", "vm", "symbols", "vmlinux.c");
    const { map, code } = await linkKernel(source, folder);
    // Where the call of broken_write() returns to.
    const [, returns = ""] = /call .*<broken_write>\n *([0-9a-f]{16}):/.exec(code) ?? [];
    const offset = BigInt(`0x${returns}`) & 0x3fn;
    const moved = (BigInt(`0x${returns}`) + 0x1c000000n).toString(16);
    const returned = `caller+0x${offset.toString(16)}`;
    const lines = [
      "<4>[    1.000001] RIP: 0010:broken_write+0x0/0x40",
      `<4>[    1.000002]  ? ${returned}/0x40`,
      `<4>[    1.000003]  ? 0x${moved}`,
      // Of another build.
      "<4>[    1.000004]  caller+0x5/0x50",
      "<0>[    1.000005] Kernel Offset: 0x1c000000 from 0xffffffff81000000",
    ];
    writeFileSync(join(folder, "dmesg-1"), `Panic#1 Part1\n${lines.join("\n")}\n`);

    const at = (text: string) => `vmlinux.c:${lineOf(source, text)}`;
    const calls = `/build/${at("broken_write(where);")}`;
    const whole = await show(join(folder, "dmesg-1"), "--vmlinux", join(folder, "vmlinux"));
    const text = whole.replace(/\/build\/symbols-[0-9]+\//g, "/build/");
    expect(text).toContain(
      [
        `${lines[0]} (/build/${at("inlined(where);")})`,
        `${" ".repeat(30)}inlined (/build/${at("*where = 1;")}) (inlined)`,
        `${lines[1]} (${calls})`,
        `${lines[2]} (${returned} ${calls})`,
        ...lines.slice(3),
        "",
      ].join("\n"),
    );
    expect(text).toContain("vmlinux is of another build: caller isn't as long in it");

    const path = join(folder, "System.map");
    writeFileSync(path, map);
    const named = await show(join(folder, "dmesg-1"), "--system-map", path);
    expect(named).toContain(
      [lines[1], `${lines[2]} (${returned})`, ...lines.slice(3), ""].join("\n"),
    );
  });
});

/** Makes `vmlinux` in a folder; its System.map, and its disassembled code. */
async function linkKernel(
  source: string,
  folder: string,
): Promise<{ readonly map: string; readonly code: string }> {
  const inside = `/build/symbols-${process.pid}`;
  const inChroot = async (...command: readonly string[]): Promise<string> => {
    const { status, output } = await inRoot(root, command, { cwd: inside });
    expect(status, output).toBe(0);
    return output;
  };
  mkdirSync(join(root, inside));
  try {
    cpSync(source, join(root, inside, "vmlinux.c"));
    const flags = ["-g", "-O2", "-ffreestanding", "-nostdlib", "-static", "-fno-pie"];
    const place = ["-mcmodel=kernel", "-Wl,-Ttext=0xffffffff81000000"];
    await inChroot("gcc", ...flags, ...place, "-o", "vmlinux", "vmlinux.c");
    cpSync(join(root, inside, "vmlinux"), join(folder, "vmlinux"));
    return {
      map: await inChroot("nm", "-n", "vmlinux"),
      code: await inChroot("objdump", "-d", "vmlinux"),
    };
  } finally {
    rmSync(join(root, inside), { recursive: true });
  }
}
