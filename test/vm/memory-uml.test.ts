import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { umlGuest } from "../../vm/guest.js";
import { until } from "../support/patience.js";
import {
  crashModule,
  describeGuests,
  panic,
  program,
  startGuest,
  temporaryFolder,
} from "./support.js";

/** In /proc/sys/kernel/core_pattern. */
const pattern = readFileSync("/proc/sys/kernel/core_pattern", "latin1");
const isCoreWritten =
  !/^[|@]|\//.test(pattern) && spawnSync("bash", ["-c", "ulimit -c unlimited"]).status === 0;

const inspected = (...args: readonly string[]) =>
  spawnSync(program, ["inspect", ...args], { encoding: "utf8", maxBuffer: 16 << 20 });

const HANG = `
dmesg -r > /told
echo LOG-BEGINS; cat /told; echo LOG-ENDS
insmod /crash.ko how=spin-off
`;

describeGuests("user-mode-linux, which is a process", () => {
  it("is looked into while it hangs: its log, and a line that says where that ends", async () => {
    const files = { "crash.ko": readFileSync(await crashModule("uml")) };
    const guest = startGuest(await umlGuest({ driver: false, files, script: HANG }));
    await guest.printed("LOG-ENDS");
    const [, told = ""] =
      /LOG-BEGINS\n([\s\S]*)LOG-ENDS/.exec(guest.output().replaceAll("\r", "")) ?? [];
    const pid = ["--pid", `${guest.pid}`];
    let log = inspected(...pid, "log");
    await until(
      () => log.stdout.includes("crash: spins"),
      () => log.stdout + log.stderr,
      async () => {
        await sleep(100);
        log = inspected(...pid, "log");
      },
    );
    // This kernel prints no time.
    const text = log.stdout.replace(/^(<[0-9]+>)\[ *[0-9]+\.[0-9]+\] /gm, "$1");
    expect(text.slice(0, told.length)).toBe(told);
    expect(inspected(...pid).stdout).toMatch(/^Linux {2}6\.1\.[0-9]+$/m);
    const views = ["tasks", "stacks", "memory", "cpus"];
    const said = inspected(...pid, ...views).stderr;
    for (const view of views) {
      const release = "Linux [0-9.]+";
      expect(said).toMatch(
        new RegExp(
          `^virtio-pstore: ${view}: ${release} doesn't describe its types .*only its log`,
          "m",
        ),
      );
    }
  });

  it.skipIf(!isCoreWritten)(
    "leaves its log in the host's core of it, when it panicked",
    async () => {
      const folder = temporaryFolder();
      const argv = await umlGuest({ driver: false, script: panic });
      const there = 'ulimit -c unlimited; cd "$0" && exec "$@"';
      await startGuest(["bash", "-c", there, folder, ...argv]).ended;
      const [core = ""] = readdirSync(folder);
      const log = inspected(join(folder, core), "log");
      expect(log.stdout).toMatch(/^<0>\[.*\] Kernel panic - not syncing: sysrq triggered crash$/m);
      expect(log.stderr).toContain("the log ends in a crash: kernel panic: sysrq triggered crash");
    },
  );
});
