import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

const head = (cpu: number, pid: number) =>
  `CPU: ${cpu} PID: ${pid} Comm: a.out Not tainted 4.19.0 #1`;

describe("two CPUs in turn, in a log without the callers' names", () => {
  it("a warning's trace is that of the task in its first line", () => {
    const text = `
WARNING: CPU: 1 PID: 70 at kernel/locking/lockdep.c:100 lock_release+0x1/0x2
${head(0, 90)}
Call Trace:
 other_write+0x1/0x2
${head(1, 70)}
Call Trace:
 lock_release+0x1/0x2
 foo_write+0x1/0x2
`;
    expect(facts(text)).toMatchObject({
      title: "WARNING: locking bug in foo_write",
      frames: ["lock_release", "foo_write"],
      cpu: 1,
      pid: 70,
    });
  });

  it("nobody is blamed where only another's trace is there", () => {
    const text = `
WARNING: CPU: 1 PID: 70 at kernel/locking/lockdep.c:100 lock_release+0x1/0x2
${head(0, 90)}
Call Trace:
 other_write+0x1/0x2
`;
    expect(facts(text).title).toBe("WARNING: locking bug in corrupted");
  });

  it("KASAN's trace is that of the task that it names", () => {
    const text = `
BUG: KASAN: slab-out-of-bounds in foo_read+0x1/0x2
Read of size 8 by task a.out/70
Call Trace:
 other_write+0x1/0x2
${head(1, 70)}
Call Trace:
 foo_read+0x1/0x2
`;
    expect(facts(text).title).toBe("KASAN: slab-out-of-bounds Read in foo_read");
  });

  it("registers behind a report's own head are its own, whatever frames were before", () => {
    const text = `
general protection fault: 0000 [#1] SMP
 other_write+0x1/0x2
${head(1, 70)}
RIP: 0010:foo_read+0x1/0x2
 other_ioctl+0x1/0x2
`;
    expect(facts(text).title).toBe("general protection fault in foo_read");
  });
});

describe("a hung task's trace", () => {
  it("isn't that of the task that found it", () => {
    const text = `
INFO: task a.out:70 blocked for more than 120 seconds.
Call Trace:
 __schedule+0x1/0x2
 schedule+0x1/0x2
NMI backtrace for cpu 0
CPU: 0 PID: 30 Comm: khungtaskd Not tainted 5.10.0 #1
Call Trace:
 nmi_cpu_backtrace+0x1/0x2
 other_watch+0x1/0x2
`;
    expect(facts(text).title).toBe("INFO: task hung in corrupted");
  });
});
