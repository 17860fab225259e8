import { join } from "node:path";
import { deflateRawSync, deflateSync } from "node:zlib";
import { put, temporaryFolder } from "./support.js";

export const boot = "0123456789abcdef".repeat(2);

export const head = (reason: string, count: number, part: number, more = " last") =>
  `${reason}#${count} Part${part} boot=${boot} time=1790000000.000000001 oldest-first${more}\n`;

/** A log that ends in a report. */
export const log = (report: string) =>
  [
    `<0>[    1.000000] ${report}`,
    "<4>[    1.000001] CPU: 3 PID: 92 Comm: sh Tainted: G           OE      6.1.0-56-cloud-amd64 #1",
    "<4>[    1.000002] Call Trace:",
    "<4>[    1.000003]  panic+0x107/0x2d6",
    "",
  ].join("\n");

export const PANIC = log("Kernel panic - not syncing: sysrq triggered crash");

/** One guest's directory: an oops of two parts, a panic, a console and a record that is broken. */
export function oneGuest(): string {
  const folder = temporaryFolder();
  put(join(folder, "dmesg-1.enc.z"), deflateRawSync("Oops#1 Part1\n<4>newest\n"), 1000);
  put(join(folder, "dmesg-2.enc.z"), deflateSync("Oops#1 Part2\n<4>oldest\n"), 1001);
  put(join(folder, "console-3"), "console\u001b[2J\n", 1002);
  put(join(folder, "dmesg-4"), "Panic#2 Part1\n<0>panic\u001b[31m\u009b\n", 1003);
  put(join(folder, ".next-5"), "", 1004);
  return folder;
}

/** A guest that panicked twice in one boot, with trace, console and pmsg; and one that did once. */
export function guests(): string {
  const folder = temporaryFolder();
  const web = join(folder, "web");
  put(join(web, "dmesg-1"), head("Oops", 1, 1) + PANIC, 1000);
  put(join(web, "dmesg-2"), head("Panic", 2, 1, "") + PANIC, 1001);
  put(join(web, "dmesg-3"), `${head("Panic", 2, 2)}<4>end\u001b\n`, 1002);
  put(join(web, "ftrace-4"), `${head("Panic", 2, 1)}a call\n`, 1003);
  put(join(web, "console-5"), "printed\n", 1004);
  put(join(web, "pmsg-6"), "user space\n", 1005);
  put(join(web, ".streams"), `${boot} console-5\n${boot} pmsg-6\n`, 1005);
  put(
    join(folder, "db", "dmesg-1"),
    `Panic#1 Part1\n${log("Kernel panic - not syncing: other")}`,
    2000,
  );
  return folder;
}
