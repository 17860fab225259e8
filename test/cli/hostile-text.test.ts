import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { until } from "../support/patience.js";
import { boot, head } from "./crashes.js";
import { type Ended, program, put, run, start, temporaryFolder } from "./support.js";

/** Commands to a terminal, as C0, C1 and OSC; bidi; and what can't be seen, below and above U+FFFF. */
const EVIL = "\u001b[2J\u009b31m\u001b]0;t\u0007\u202e\u00ad\u200b\ufe0f\u{e0041}\r";

/** A guest's directory that a host's user named like that, with a log that says so too. */
function hostile(): string {
  const folder = temporaryFolder();
  const guest = join(folder, `guest${EVIL}`);
  const log = `<4>[    1.0] CPU: 3 PID: 92 Comm: sh${EVIL} Tainted: G OE 6.1${EVIL} #1\n`;
  const panic = `<0>[    1.0] Kernel panic - not syncing: ${EVIL}\n${log}`;
  put(join(guest, "dmesg-1"), head("Panic", 1, 1) + panic, 1000);
  put(join(guest, "ftrace-2"), `${head("Panic", 1, 1)}trace ${EVIL}\n`, 1001);
  put(join(guest, "console-3"), `console ${EVIL}\n`, 1002);
  put(join(guest, "pmsg-4"), Buffer.from([0x9b, 0x33, 0x31, 0x6d, 0x1b, 0xff, 0x0a]), 1003);
  put(join(guest, ".streams"), `${boot} console-3\n${boot} pmsg-4\n`, 1003);
  mkdirSync(join(guest, "dmesg-9"));
  return folder;
}

function expectPrintable({ stdout, stderr }: Ended): void {
  const text = (stdout + stderr).replace(/[\n\t]/g, "");
  expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}\ufffd]|\p{Variation_Selector}/u);
}

describe("what a guest wrote, and how its directory is called, reaches no terminal as it is", () => {
  test.each([
    [["list"]],
    [["list", "--json"]],
    [["list", "--records"]],
    [["list", "--records", "--json"]],
    [["stats"]],
    [["stats", "--json"]],
    [["show"]],
    [["show", "--json"]],
    [["show", "--dmesg", "--color", "always"], "colored"],
    [["show", "--ftrace"]],
    [["show", "--console"]],
    [["show", "--pmsg"]],
    [["rm", "--dry-run", "--since", "1970-01-01"]],
    [["watch", "--exec", "false", "--all", "--once"]],
  ])("%j", async ([command = "", ...options], colored?: string) => {
    const ended = await run([command, hostile(), ...options]);
    const stdout =
      colored === undefined
        ? ended.stdout
        : // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are ours
          ended.stdout.replace(/\u001b\[[0-9;]*m/g, "");
    expectPrintable({ ...ended, stdout });
    expect(stdout + ended.stderr).toMatch(/\\x1b|\\u001b/);
  });

  test.each(["list", "show", "follow", "export", "rm", "watch", "stats"])(
    "%s, of a path that isn't there",
    async (command) => {
      const more = command === "rm" ? ["1"] : command === "watch" ? ["--exec", "true"] : [];
      const ended = await run([command, `/nowhere\n${EVIL}`, ...more]);
      expect(ended.status).toBe(1);
      expectPrintable(ended);
      expect(ended.stderr).toContain("/nowhere\\x0a\\x1b[2J");
      expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
    },
  );

  test("options that aren't known, and an ERST file's name", async () => {
    expectPrintable(await run(["list", `--${EVIL}`]));
    const erst = join(temporaryFolder(), `erst${EVIL}`);
    for (const command of ["create", "info", "check"]) {
      const ended = await run(["erst", command, erst]);
      expect(ended.status, ended.stderr).toBe(0);
      expectPrintable(ended);
    }
  });

  test("export: its files and what it prints of them; a script gets the path as it is", async () => {
    const output = temporaryFolder();
    const { stdout } = await run(["export", hostile(), "-o", output]);
    const made = stdout.replace(/\n$/, "");
    expect(made).toBe(join(output, `guest${EVIL}`, "1"));
    for (const name of ["dmesg.txt", "ftrace.txt", "console.txt", "pmsg.txt", "crash.json"]) {
      expectPrintable({ status: 0, stdout: readFileSync(join(made, name), "utf8"), stderr: "" });
    }
  });
});

describe("--raw", () => {
  // script(1) gives a command a terminal; it takes the command as the shell does.
  const onTerminal = (command: string) =>
    start(["-qec", command, "/dev/null"], { command: "script" });

  test.each([["show"], ["follow"]])(
    "%s: to a terminal only where it is forced",
    async (command) => {
      const folder = temporaryFolder();
      const records = join(folder, "web");
      put(join(records, "console-1"), `console ${EVIL}end\n`, 1000);
      const what = command === "show" ? `${records} --console` : records;
      const call = `${program} ${command} ${what}`;
      const refused = await onTerminal(`${call} --raw`).ended;
      expect(refused.status).not.toBe(0);
      expect(refused.stdout).toContain("--force");
      expect(refused.stdout).not.toContain("\u001b[2J");
      // follow ends on a signal only: that of its terminal's end.
      const forced = onTerminal(`${call} --raw --force`);
      await until(() => forced.stdout().includes(EVIL), forced.stdout);
      forced.child.kill();
      const shown = onTerminal(`PAGER=cat ${call}`);
      await until(() => shown.stdout().includes("end"), shown.stdout);
      shown.child.kill();
      expect(shown.stdout()).toContain("\\x1b[2J");
      expect(shown.stdout()).not.toContain("\u001b[2J");
    },
  );
});
