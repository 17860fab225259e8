import { expect, test } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

test("a CPU with its interrupts off is called by what it was asked to do, not by another CPU's stack", () => {
  const { title, kind, task, pid } = facts(`
<4>[    9.0] WARNING: CPU: 0 PID: 1 at kernel/foo.c:1 bar+0x1/0x2
<1>[    9.566141] virtio-pstore: hung: CPU 1 with interrupts off: insmod:101
<1>[    9.566141] Call Trace:
<1>[    9.566141]  foo_irqoff+0x28/0x32 [foo]
<1>[    9.566141]  foo_ioctl+0x5e9/0x1000 [foo]
<1>[    9.566141]  __x64_sys_ioctl+0x8b/0xc0
<1>[    9.566141]  do_syscall_64+0x5d/0x90
<1>[    9.566141] virtio-pstore: CPU 0 runs swapper/0:0
<1>[    9.566141] Call Trace:
<1>[    9.566141]  sched_clock_local+0xe/0x80
<1>[    9.566141]  default_idle_call+0x38/0xf0
`);
  expect({ title, kind, task, pid }).toEqual({
    title: "hung: CPU 1 with interrupts off in foo_ioctl",
    ...{ kind: "hang", task: "insmod", pid: 101 },
  });
});

test("a CPU of which no stack is known isn't called by another one's", () => {
  const { title, signature } = facts(`
virtio-pstore: hung: CPU 1 stuck: insmod:101
virtio-pstore: CPU 0 runs swapper/0:0
Call Trace:
 sched_clock_local+0xe/0x80
`);
  expect({ title, signature }).toEqual({ title: "hung: CPU 1 stuck in corrupted", signature: "" });
});

test("which CPU hangs makes no difference to the signature, nor what the task is called", () => {
  const signature = (cpu: number, task: string) =>
    facts(`virtio-pstore: hung: CPU ${cpu} stuck: ${task}:101\nCall Trace:\n foo_ioctl+0x1/0x2`)
      .signature;
  expect(signature(0, "a")).toMatch(/^[0-9a-f]{16}$/);
  expect(signature(3, "")).toBe(signature(0, "a"));
});

test("a workqueue is called by the work that keeps it", () => {
  const { title, kind } = facts(
    "virtio-pstore: hung: workqueue in foo_work [foo]: CPU 1, 3 wait, the first for vmstat_update",
  );
  expect([title, kind]).toEqual(["workqueue hung in foo_work [foo]", "hang"]);
});

test("a blocked task is called by where it waits, and a deadlock by its locks", () => {
  const blocked = facts(`
virtio-pstore: hung: task crash:110 blocked
Call Trace:
 __schedule+0x52a/0x1080
 schedule+0x28/0xa0
 crash_hang+0x21/0x30 [crash]
 kthread+0xe5/0x120
`);
  expect([blocked.title, blocked.task, blocked.pid]).toEqual([
    "task hung in crash_hang",
    "crash",
    110,
  ]);
  const circle = (pid: number) =>
    facts(
      `virtio-pstore: hung: deadlock: a waits for lock_b held by b, b for lock_a held by a: a (${pid}) waits for mutex lock_b, held by b (2), which waits for mutex lock_a, held by a (${pid})`,
    );
  expect(circle(7).title).toBe("deadlock: a waits for lock_b held by b, b for lock_a held by a");
  expect(circle(7).signature).toBe(circle(8).signature);
});
