import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";
import { REVISION } from "./revision.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

/** As the kernel's printk formats make them, of functions that don't exist. */
const reports: readonly (readonly [title: string, kind: string, text: string])[] = [
  [
    "KASAN: slab-use-after-free Read in foo_close",
    "kasan",
    `
BUG: KASAN: slab-use-after-free in refcount_read+0x10/0x20
Read of size 4 at addr ffff888012345678 by task a.out/7
Call Trace:
 <TASK>
 dump_stack_lvl+0x10/0x20
 kasan_report+0x10/0x20
 refcount_read+0x10/0x20
 ? bar+0x1/0x2
 foo_close.constprop.0.cold+0x10/0x20 [foo]
Allocated by task 7:
 foo_open+0x10/0x20
`,
  ],
  [
    "KMSAN: uninit-value in foo_parse",
    "kmsan",
    `
BUG: KMSAN: uninit-value in foo_parse+0x10/0x20
 foo_parse+0x10/0x20
 foo_read+0x10/0x20
Uninit was created at:
 slab_alloc_node+0x10/0x20
`,
  ],
  [
    "KASAN: wild-memory-access Write in foo_write",
    "kasan",
    `
BUG: KASAN: wild-memory-access on address ffe0000000000123
Write of size 8 by task a.out/7
CPU: 1 PID: 7 Comm: a.out Not tainted 4.4.0 #1
Call Trace:
 [<ffffffff81234567>] dump_stack+0x1/0x2
 [<ffffffff81234567>] foo_write+0x1/0x2
`,
  ],
  [
    "KASAN: slab-out-of-bounds in foo_write",
    "kasan",
    "BUG: KASAN: slab-out-of-bounds in foo_write.isra.3+0x10/0x20",
  ],
  [
    "BUG: Right Redzone overwritten in foo_close",
    "slab",
    `
BUG kmalloc-64 (Not tainted): Right Redzone overwritten
-----------------------------------------------------------------------------
CPU: 0 PID: 7 Comm: a.out Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 object_err+0x1/0x2
 kfree+0x1/0x2
 foo_close+0x1/0x2
`,
  ],
  ["BUG: Bad page map", "bug", "BUG: Bad page map in process a.out  pte:123 pmd:456"],
  [
    "attempt to add with overflow in <foo::Dev as kernel::Driver>::probe",
    "bug",
    `
rust_kernel: panicked at drivers/foo.rs:7:9:
attempt to add with overflow
kernel BUG at rust/helpers/bug.c:7!
RIP: 0010:rust_helper_BUG+0x1/0x2
Call Trace:
 <TASK>
 _RNvCs1_7___rustc17rust_begin_unwind+0x1/0x2
 _RNvNtCs1_4core9panicking9panic_fmt+0x1/0x2
 _RNvXCs1_3fooNtB2_3DevNtCs2_6kernel6Driver5probe+0x1/0x2
`,
  ],
  [
    "WARNING: kernel stack regs has bad 'bp' value",
    "warning",
    "WARNING: kernel stack regs at 0000000012345678 in a.out:7 has bad 'bp' value 0000000000000001",
  ],
  [
    "WARNING: kernel stack frame pointer has bad value",
    "warning",
    "WARNING: kernel stack frame pointer at 0000000012345678 in a.out:7 has bad value 0000000000000001",
  ],
  ["KCSAN: data-race in foo_get / foo_put", "kcsan", "BUG: KCSAN: data-race in foo_get / foo_put"],
  [
    "KFENCE: use-after-free read in foo_close",
    "kfence",
    "BUG: KFENCE: use-after-free read in foo_close+0x10/0x20\n\nUse-after-free read at 0x123 (in kfence-#1):\n foo_close+0x10/0x20",
  ],
  [
    "UBSAN: shift-out-of-bounds in foo_shift",
    "ubsan",
    "UBSAN: shift-out-of-bounds in lib/foo.c:12:3\nCall Trace:\n __ubsan_handle_shift_out_of_bounds+0x1/0x2\n foo_shift+0x1/0x2",
  ],
  [
    "possible deadlock in foo_lock_both",
    "lockdep",
    `
WARNING: possible circular locking dependency detected
6.1.0 #1 Not tainted
a.out/7 is trying to acquire lock:
ffff888012345678 (&a->lock){+.+.}-{3:3}, at: foo_lock_both+0x10/0x20
`,
  ],
  [
    "INFO: task hung in foo_wait",
    "hung-task",
    `
INFO: task kworker/0:1:7 blocked for more than 120 seconds.
Call Trace:
 __schedule+0x1/0x2
 schedule+0x1/0x2
 mutex_lock+0x1/0x2
 foo_wait+0x1/0x2
Kernel panic - not syncing: hung_task: blocked tasks
`,
  ],
  [
    "INFO: rcu detected stall in foo_ioctl",
    "rcu-stall",
    `
rcu: INFO: rcu_preempt self-detected stall on CPU
Call Trace:
 <IRQ>
 rcu_dump_cpu_stacks+0x1/0x2
 </IRQ>
 foo_spin+0x1/0x2
 foo_ioctl+0x1/0x2
 __x64_sys_ioctl+0x1/0x2
 do_syscall_64+0x1/0x2
`,
  ],
  [
    "BUG: soft lockup in foo_thread",
    "soft-lockup",
    `
watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [foo:7]
RIP: 0010:foo_spin+0x1/0x2
Call Trace:
 foo_thread+0x1/0x2
 kthread+0x1/0x2
 ret_from_fork+0x1/0x2
Kernel panic - not syncing: softlockup: hung tasks
`,
  ],
  [
    "WARNING: refcount bug in foo_put",
    "warning",
    `
refcount_t: underflow; use-after-free.
WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x1/0x2, CPU#1: a.out/7
RIP: 0010:refcount_warn_saturate+0x1/0x2
Call Trace:
 foo_put+0x1/0x2
`,
  ],
  [
    "memory leak in foo_new",
    "leak",
    "BUG: memory leak\nunreferenced object 0xffff888012345678 (size 8):\n  backtrace:\n    [<0000000012345678>] kmalloc+0x1/0x2\n    [<0000000012345678>] foo_new+0x1/0x2",
  ],
  [
    "BUG: unable to handle kernel paging request in foo_write",
    "oops",
    `
Unable to handle kernel paging request at virtual address dead000000000100
Mem abort info:
Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP
CPU: 2 PID: 7 Comm: a.out Not tainted 6.12.0-arm64 #1
pc : foo_write+0x10/0x20 [foo]
lr : foo_write+0x8/0x20 [foo]
Call trace:
 foo_write+0x10/0x20 [foo]
 vfs_write+0x10/0x20
`,
  ],
  [
    "kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
    "panic",
    "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
  ],
  [
    "kernel panic: EXT4-fs (device sda1): panic forced after error NUM",
    "panic",
    "Kernel panic - not syncing: EXT4-fs (device sda1): panic forced after error 5",
  ],
  [
    "WARNING in foo_write",
    "warning",
    `
WARNING: [foo[1] ? bar(a: 1) : time_after(jiffies, timeout)] drivers/foo.c:7 at foo_write+0x10/0x20, CPU#0: a.out/7
CPU: 0 UID: 0 PID: 7 Comm: a.out Not tainted 7.3.0 #1
Call Trace:
 <TASK>
 vfs_write+0x10/0x20
`,
  ],
  [
    "WARNING: refcount bug in foo_close",
    "warning",
    `
WARNING: [old < 0] lib/refcount.c:28 at refcount_warn_saturate+0x10/0x20, CPU#0: a.out/7
Call Trace:
 <TASK>
 foo_close+0x10/0x20
`,
  ],
  [
    "PANIC: double fault in foo_write",
    "oops",
    `
traps: PANIC: double fault, error_code: 0x0
double fault: 0000 [#1] PREEMPT SMP NOPTI
CPU: 2 PID: 7 Comm: a.out Not tainted 6.1.0 #1
RIP: 0010:foo_write+0x10/0x20
Call Trace:
 <#DF>
 vfs_write+0x10/0x20
`,
  ],
  [
    "kernel panic: Attempted to kill init! exitcode=0x00000100",
    "panic",
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
  ],
  [
    "INFO: task hung in foo_wait",
    "hung-task",
    `
INFO: task kworker/u8:0:92 blocked for more than 143 seconds.
      Not tainted 6.12.0 #1
task:kworker/u8:0 state:D stack:0 pid:92 tgid:92 ppid:2
Call Trace:
 <TASK>
 __schedule+0x1/0x2
 schedule+0x1/0x2
 foo_wait+0x1/0x2
Kernel panic - not syncing: hung_task: blocked tasks
CPU: 1 UID: 0 PID: 31 Comm: khungtaskd Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 panic+0x1/0x2
 watchdog+0x1/0x2
`,
  ],
  [
    "kernel panic: VFS: Unable to mount root fs on UUID=UUID",
    "panic",
    "Kernel panic - not syncing: VFS: Unable to mount root fs on UUID=01234567-89ab-4cde-8f01-23456789abcd",
  ],
];

describe("titles by family", () => {
  it.each(reports)("%s", (title, kind, text) => {
    expect(facts(text)).toMatchObject({ title, kind });
  });

  it.each([
    ["KASAN: invalid-free in foo_close", "BUG: KASAN: double-free in foo_close+0x1/0x2"],
    [
      "KASAN: invalid-free in foo_close",
      "BUG: KASAN: double-free or invalid-free in foo_close+0x1/0x2",
    ],
    ["KASAN: invalid-free in foo_close", "BUG: KASAN: invalid-free in foo_close+0x1/0x2"],
    [
      "BUG: workqueue leaked lock or atomic in foo_work",
      "BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[7]",
    ],
    [
      "kernel panic: Fatal exception in foo_close",
      "Kernel panic - not syncing: Fatal exception in interrupt",
    ],
    [
      "kernel panic: Fatal exception in foo_close",
      "Kernel panic - not syncing: Fatal exception: panic_on_oops",
    ],
  ])("one bug, one title: %s of %s", (title, line) => {
    const trace = "Call Trace:\n foo_close+0x1/0x2\n     last function: foo_work";
    expect(facts(`${line}\n${trace}`).title).toBe(title);
  });

  it("a jump to where no function is is blamed on who jumped", () => {
    const text =
      "BUG: kernel NULL pointer dereference, address: 0000000000000000\nRIP: 0010:0x0\nCall Trace:\n process_one_work+0x1/0x2";
    expect(facts(text).title).toMatch(/in process_one_work$/);
  });

  it("where a report shows nobody it says so, as syzkaller does", () => {
    expect(facts("general protection fault: 0000 [#1] SMP").title).toBe(
      "general protection fault in corrupted",
    );
  });
});

it("what is made of these logs, of our guests' and of those that people post has the revision that it is kept under", () => {
  const files = ["fixtures", "posted"].flatMap((name) => {
    const folder = join(import.meta.dirname, name);
    return readdirSync(folder)
      .sort()
      .map((file) => join(folder, file));
  });
  const logs = [
    ...reports.map(([, , text]) => text),
    ...files.map((path) => readFileSync(path, "utf8")),
  ];
  const all = JSON.stringify(logs.map(facts));
  // A title that changes is to be read anew from logs that were read before: write the new one there.
  expect(REVISION).toBe(createHash("sha256").update(all).digest("hex").slice(0, 16));
});
