import { chmodSync, mkdirSync, readFileSync, symlinkSync, unlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { complaint, program, put, run, script, temporaryFolder } from "./support.js";

const boot = "0123456789abcdef".repeat(2);
const head = (reason: string, count: number, part: number, more = " last") =>
  `${reason}#${count} Part${part} boot=${boot} time=1790000000.000000001 oldest-first${more}\n`;

/** A guest that oopsed and then panicked in one boot, with all that belongs to it, and was booted again. */
function oneGuest(): string {
  const folder = temporaryFolder();
  const guest = join(folder, "web");
  put(join(guest, "dmesg-1"), `${head("Oops", 1, 1)}<4>[    1.000000] BUG: oops\n`, 1000);
  put(join(guest, "ftrace-2"), `${head("Oops", 1, 1)}trace of the oops\n`, 1001);
  put(join(guest, "dmesg-3"), `${head("Panic", 2, 1, "")}<0>[    2.000000] panic\n`, 1002);
  put(join(guest, "dmesg-4"), `${head("Panic", 2, 2)}<12>[    2.000001] rest\nmore\n`, 1003);
  put(join(guest, "ftrace-5"), `${head("Panic", 2, 1)}trace of the panic\n`, 1004);
  put(join(guest, "console-6"), "printed ", 1005);
  put(join(guest, "console-7"), "in pieces\n", 1006);
  put(join(guest, "pmsg-8"), "user space\n", 1007);
  put(join(guest, "console-9"), "the next boot\n", 2000);
  const streams = ["console-6", "console-7 console-6 10", "pmsg-8"].map(
    (name) => `${boot} ${name}\n`,
  );
  put(join(guest, ".streams"), `${streams.join("")}${"ab".repeat(16)} console-9\n`, 2000);
  return folder;
}

const stdoutOf = async (...args: readonly string[]) => (await run(["show", ...args])).stdout;

describe("show PATH CRASH", () => {
  test("takes the crash's name, what is clear of it, its id, and its records' names", async () => {
    const folder = oneGuest();
    for (const name of ["web/dmesg-1", "dmesg-1", "web/1", "1"]) {
      expect(await stdoutOf(folder, name)).toBe("<4>[    1.000000] BUG: oops\n");
    }
    for (const name of ["web/dmesg-3", "dmesg-4", "web/dmesg-4", "4", "web/4"]) {
      expect(await stdoutOf(folder, name)).toContain("panic\n<12>[    2.000001] rest\nmore\n");
    }
  });

  test("a name that none or several have: one line, status 1", async () => {
    const folder = oneGuest();
    put(join(folder, "db", "dmesg-1"), "Panic#1 Part1\ntext\n", 1);
    const several = await run(["show", folder, "1"]);
    expect(several).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(several)).toEqual([
      "virtio-pstore: 1 could be db/dmesg-1 or web/dmesg-1: say which",
    ]);
    for (const guest of ["a", "b", "c", "d", "e"]) {
      put(join(folder, guest, "dmesg-1"), "Panic#1 Part1\ntext\n", 1);
    }
    expect(complaint(await run(["show", folder, "1"]))).toEqual([
      `virtio-pstore: 1 could be ${[..."abcd"].map((guest) => `${guest}/dmesg-1 or `).join("")}db/dmesg-1 or 2 others: say which`,
    ]);
    const none = await run(["show", folder, "web/dmesg-99"]);
    expect(none).toMatchObject({ status: 1, stdout: "" });
    expect(complaint(none)).toEqual([`virtio-pstore: ${folder} holds no crash web/dmesg-99`]);
    expect((await run(["show", folder, "1", "--all"])).status).toBe(2);
    expect(complaint(await run(["show", folder, "web/console-6"]))).toEqual([
      `virtio-pstore: web/console-6 is a record and no crash: \`virtio-pstore show ${folder}/web/console-6\` shows it`,
    ]);
  });

  test("a record's own file, also with the option that names its type", async () => {
    const trace = join(oneGuest(), "web", "ftrace-5");
    const text = await stdoutOf(trace);
    expect(await stdoutOf(trace, "--ftrace")).toBe(text);
    const shown = await run(["show", trace, "--chrome"]);
    expect(JSON.parse(shown.stdout)).toHaveProperty("traceEvents");
    expect((await run(["show", trace, "--console"])).status).toBe(2);
  });

  test("--ftrace, --console and --pmsg show what belongs to it", async () => {
    const folder = oneGuest();
    expect(await stdoutOf(folder, "1", "--ftrace")).toBe("trace of the oops\n");
    expect(await stdoutOf(folder, "3", "--ftrace")).toBe("trace of the panic\n");
    expect(await stdoutOf(folder, "3", "--console")).toBe(
      "printed \n[virtio-pstore: 2 bytes are missing here]\nin pieces\n",
    );
    expect(await stdoutOf(folder, "3", "--pmsg")).toBe("user space\n");
    expect(await stdoutOf(folder, "--console")).toBe("the next boot\n");
    unlinkSync(join(folder, "web", "pmsg-8"));
    const none = await run(["show", folder, "3", "--pmsg"]);
    expect(none.status).toBe(1);
    expect(complaint(none)).toEqual([
      "virtio-pstore: no pmsg record belongs to web/dmesg-3: what a guest with the driver writes to its /dev/pmsg0, `run` and `serve` take with --types dmesg,ftrace,pmsg",
    ]);
  });

  test.each([
    ["console", "--console"],
    ["pmsg", "--types dmesg,ftrace,pmsg"],
    ["ftrace", "virtio_pstore.trace=1"],
  ])("where there is no %s, says what would have recorded it: %s", async (type, option) => {
    const folder = temporaryFolder();
    put(join(folder, "web", "dmesg-1"), `${head("Panic", 1, 1)}text\n`, 1);
    for (const more of [[], ["--guest", "web"], ["web/dmesg-1"]]) {
      const none = await run(["show", folder, `--${type}`, ...more]);
      expect(none).toMatchObject({ status: 1, stdout: "" });
      const [line = "", ...rest] = complaint(none);
      expect(rest).toEqual([]);
      expect(line).toContain(`${type} record`);
      expect(line.endsWith(option) || line.includes(`${option}, `)).toBe(true);
    }
  });

  test("--ftrace --chrome makes a Chrome JSON trace, and says how much isn't in it", async () => {
    const folder = oneGuest();
    const mark = "      sh-135       1..... 713us : tracing_mark_write: a mark";
    put(join(folder, "web", "ftrace-5"), `${head("Panic", 2, 1)}not of a trace\n${mark}\n`, 1004);
    const { status, stdout, stderr } = await run(["show", folder, "3", "--ftrace", "--chrome"]);
    expect(status).toBe(0);
    expect(stderr).toContain("1 of the trace's lines weren't understood, and are left out");
    const { traceEvents } = JSON.parse(stdout) as { traceEvents: object[] };
    expect(traceEvents[0]).toMatchObject({ name: "process_name", args: { name: "web" } });
    expect(traceEvents.at(-1)).toMatchObject({ ph: "i", tid: 2, ts: 713 });
    expect(await stdoutOf(join(folder, "web"), "--ftrace", "--chrome")).toBe(stdout);
    expect((await run(["show", folder, "3", "--chrome"])).status).toBe(2);
    const counter = fileURLToPath(
      new URL("../../src/formats/ftrace/fixtures/counter.txt", import.meta.url),
    );
    put(join(folder, "web", "ftrace-5"), head("Panic", 2, 1) + readFileSync(counter), 1004);
    expect((await run(["show", folder, "3", "--ftrace", "--chrome"])).stderr).toContain(
      "the trace's clock has no unit: a nanosecond stands for each of its counts",
    );
  });

  test("--title and the other filters choose the newest that fits", async () => {
    const folder = oneGuest();
    expect(await stdoutOf(folder, "--until", "1970-01-01 00:16:40")).toContain("BUG: oops");
    const none = await run(["show", folder, "--title", "nothing like it"]);
    expect(none.status).toBe(1);
    expect(complaint(none)).toEqual([`virtio-pstore: ${folder} holds no crash that fits`]);
  });
});

describe("how it is shown", () => {
  test("--dmesg leaves out the level, as dmesg does", async () => {
    expect(await stdoutOf(oneGuest(), "3", "--dmesg")).toBe(
      "[    2.000000] panic\n[    2.000001] rest\nmore\n",
    );
  });

  test("a text without a last line's end ends before the next one, and is as it is in a pipe", async () => {
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), `${head("Oops", 1, 1)}first`, 1);
    put(join(folder, "dmesg-2"), `${head("Panic", 2, 1)}second`, 2);
    expect(await stdoutOf(folder, "--all")).toBe("first\nsecond");
    const onTerminal = await run(["-qec", `${program} show ${folder} --no-pager`, "/dev/null"], {
      command: "/usr/bin/script",
    });
    expect(onTerminal.stdout).toContain("second\r\nvirtio-pstore: this is the newest of 2");
  });

  test.each([
    ["--force"],
    ["--raw", "--color", "always"],
    ["--ftrace", "--chrome", "--vmlinux", "x"],
    ["--raw", "--dmesg"],
    ["--console", "--ftrace"],
  ])("%s %s: what would change nothing is refused", async (...options) => {
    expect(await run(["show", oneGuest(), ...options])).toMatchObject({ status: 2, stdout: "" });
  });

  test("--json tells the crash, its trace's functions and its log", async () => {
    const log = "Kernel panic - not syncing: \u001b\n CPU: 0 PID: 1 Comm: \u0007\n";
    const folder = temporaryFolder();
    put(join(folder, "dmesg-1"), head("Panic", 1, 1) + log, 1);
    const { stdout } = await run(["show", folder, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      name: "dmesg-1",
      frames: [],
      cutShort: false,
      log: "Kernel panic - not syncing: \\x1b\n CPU: 0 PID: 1 Comm: \\x07\n",
    });
  });

  test("colours only where they are wanted, and then by what matters", async () => {
    const folder = temporaryFolder();
    const lines = [
      "<6>[    1.000000] quiet",
      "<0>[    1.000001] Kernel panic - not syncing: x",
      "<4>[    1.000002] Call Trace:",
      "<4>[    1.000003]  panic+0x1/0x2",
      "<3>[    1.000004] an error",
    ];
    put(join(folder, "dmesg-1"), `${head("Panic", 1, 1)}${lines.join("\n")}\n`, 1);
    expect(await stdoutOf(folder)).toBe(`${lines.join("\n")}\n`);
    const colored = (await stdoutOf(folder, "--color", "always")).split("\n");
    const e = "\u001b";
    const prefix = (i: number) => `${e}[2m${lines[i]?.slice(0, 18)}${e}[0m`;
    expect(colored).toEqual([
      `${prefix(0)}quiet`,
      `${prefix(1)}${e}[1;31mKernel panic - not syncing: x${e}[0m`,
      `${prefix(2)}${e}[1mCall Trace:${e}[0m`,
      `${prefix(3)}${e}[36m panic+0x1/0x2${e}[0m`,
      `${prefix(4)}${e}[31man error${e}[0m`,
      "",
    ]);
  });

  test("on a terminal it has colours and goes through $PAGER, unless that isn't wanted", async () => {
    const folder = oneGuest();
    const pager = script(join(folder, "pager"), "sed 's/^/paged: /'");
    const onTerminal = async (
      options: string,
      env: Readonly<Record<string, string | undefined>>,
    ) => {
      const line = `${program} show ${folder} web/dmesg-1 ${options}`;
      const ended = await run(["-qec", line, "/dev/null"], {
        command: "/usr/bin/script",
        env: { TERM: "xterm", NO_COLOR: "", PAGER: pager, ...env },
      });
      return ended.stdout.replaceAll("\r", "");
    };
    const paged = await onTerminal("", {});
    expect(paged).toMatch(/^paged: web\/dmesg-1: .*Oops#1/);
    expect(paged).toContain("paged: \u001b[2m<4>[    1.000000] \u001b[0m\u001b[1;31mBUG: oops");
    expect(await onTerminal("", { NO_COLOR: "1" })).toContain(
      "\npaged: <4>[    1.000000] BUG: oops",
    );
    expect(await onTerminal("--no-pager --color never", {})).toContain(
      "\n<4>[    1.000000] BUG: oops",
    );
    expect(await onTerminal("", { PAGER: "/nowhere/pager" })).toContain(
      "virtio-pstore: the pager /nowhere/pager can't be run: set PAGER, or use --no-pager",
    );
    // As on a host that has no less.
    const programs = join(folder, "programs");
    mkdirSync(programs);
    for (const path of ["/bin/sh", "/bin/cat", "/bin/env", process.execPath]) {
      symlinkSync(path, join(programs, basename(path)));
    }
    expect(await onTerminal("--color never", { PAGER: undefined, PATH: programs })).toContain(
      "\n<4>[    1.000000] BUG: oops",
    );
  });

  test("what can't be read is said where it is missing, and the rest is shown", async () => {
    const folder = oneGuest();
    chmodSync(folder, 0o755);
    chmodSync(join(folder, "web", "dmesg-3"), 0);
    const { status, stdout } = await run(["show", folder, "--all"], { asNobody: true });
    expect(status).toBe(0);
    expect(stdout).toContain("dmesg-3 can't be read: permission denied");
    expect(stdout).toContain("rest\nmore\n");
  });
});
