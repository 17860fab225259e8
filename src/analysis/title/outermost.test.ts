import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const stall = (...frames: string[]) =>
  readFacts([
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "CPU: 1 PID: 70 Comm: a.out Not tainted 5.10.0 #1",
    "Call Trace:",
    ...frames.map((frame) => (frame.startsWith("<") ? ` ${frame}` : ` ${frame}+0x1/0x2`)),
  ]).title;

describe("the function that a stall is named by", () => {
  it("is what the task was asked for, not the fault in its midst", () => {
    expect(
      stall(
        "foo_fault",
        "handle_mm_fault",
        "exc_page_fault",
        "asm_exc_page_fault",
        "_copy_from_user",
        "__sys_sendmmsg",
        "__x64_sys_sendmmsg",
        "do_syscall_64",
      ),
    ).toBe("INFO: rcu detected stall in sys_sendmmsg");
  });

  it("is the fault if the task does nothing else", () => {
    expect(stall("foo_fault", "handle_mm_fault", "exc_page_fault")).toMatch(/in foo_fault$/);
  });

  it("is what interrupted, if anything did", () => {
    expect(
      stall("<IRQ>", "foo_timer", "call_timer_fn", "</IRQ>", "bar_ioctl", "__x64_sys_ioctl"),
    ).toMatch(/in foo_timer$/);
  });

  it("is nobody where the unwinder was sure of no frame", () => {
    expect(
      readFacts([
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [foo:7]",
        "RIP: 0010:foo_spin+0x1/0x2",
        "Call Trace:",
        " ? bar_ioctl+0x1/0x2",
      ]).title,
    ).toBe("BUG: soft lockup in corrupted");
  });

  it("isn't that of a task that had let others run", () => {
    expect(
      readFacts([
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "task:a.out state:R  running task stack:0 pid:70",
        "Call Trace:",
        " __schedule+0x1/0x2",
        " preempt_schedule_common+0x1/0x2",
        " foo_write+0x1/0x2",
        "CPU: 1 PID: 71 Comm: b.out Not tainted 5.10.0 #1",
        "Call Trace:",
        " bar_ioctl+0x1/0x2",
      ]).title,
    ).toBe("INFO: rcu detected stall in bar_ioctl");
  });
});
