import { join } from "node:path";
import { expect, it } from "vitest";
import { scriptEndMark } from "../../vm/initramfs.js";
import { kernelNames } from "../../vm/kernel.js";
import { raiseNmi, reporting, reportingWords } from "./provocations.js";
import {
  crashGuest,
  describeGuests,
  qemuDevice,
  recordNames,
  serve,
  startGuest,
  temporaryFolder,
  textOf,
} from "./support.js";

// The driver makes no guest's fate worse. Whatever these print in an NMI, a single WARN() would be the guest's end.

/** What the kernel says of each, wherever the interrupt found the CPUs. */
const reports = [
  "sysrq: Show backtrace of all active CPUs",
  "NMI backtrace for cpu 0",
  "NMI backtrace for cpu 1",
  "NMI received for unknown reason",
  "Dazed and confused, but trying to continue",
  "rcu: INFO: rcu_preempt",
  "crash_stall",
];

describeGuests("a guest that goes on, with panic_on_warn=1", () => {
  it.each(
    kernelNames.flatMap((kernel) => [
      [kernel, "--console"] as const,
      [kernel, "--types=dmesg,ftrace"] as const,
    ]),
  )("Linux %s, %s: backtraces, an NMI, an RCU stall", async (kernel, types) => {
    const folder = temporaryFolder();
    const at = (name: string) => join(folder, name);
    const daemon = await serve(
      ...[types, "--rate=off", "--rate-requests=off"],
      ...["--socket-path", at("socket"), "--directory", at("crashes")],
    );
    const guest = startGuest([
      ...(await crashGuest(kernel, {
        serial: "stdio",
        quiet: true,
        script: `${reporting}echo THE LOG\ndmesg\necho ITS END\n`,
        append: `panic_on_warn=1 ${reportingWords}`,
        arguments: ["-smp", "2", "-monitor", `unix:${at("monitor")},server=on,wait=off`],
      })),
      ...qemuDevice(at("socket")),
    ]);
    await guest.printed("READY");
    raiseNmi(at("monitor"));
    const { output } = await guest.ended;
    await daemon.stop();

    expect(output).toContain(`${scriptEndMark} 0`);
    const [, log = ""] = /THE LOG\r?\n(.*)ITS END/s.exec(output) ?? [];
    const lines = log.split(/\r?\n/);
    for (const report of reports) expect(log).toContain(report);
    expect(log).not.toContain("WARNING:");
    const [text = ""] = textOf(at("crashes"), "console");
    if (types === "--console") {
      const sent = new Set(text.split("\n"));
      expect(lines.filter((line) => !sent.has(line))).toEqual([]);
    }
    expect(recordNames(at("crashes"))).toHaveLength(types === "--console" ? 1 : 0);
  });
});
