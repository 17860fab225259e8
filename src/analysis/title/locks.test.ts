import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const deadlock = (lines: string) =>
  readFacts(
    `
WARNING: possible circular locking dependency detected
a.out/70 is trying to acquire lock:
${lines.trim()}
`.split("\n"),
  ).title;

describe("whom lockdep's report blames", () => {
  it("who asked for the lock", () => {
    expect(
      deadlock(`
ffff8880 (&a->lock){+.+.}-{3:3}, at: foo_write+0x1/0x2
but task is already holding lock:
ffff8880 (&b->lock){+.+.}-{3:3}, at: foo_open+0x1/0x2
`),
    ).toBe("possible deadlock in foo_write");
  });

  it("who holds the other one, where a helper asked", () => {
    expect(
      deadlock(`
ffff8880 ((wq_completion)foo){+.+.}-{0:0}, at: flush_workqueue+0x1/0x2
but task is already holding lock:
ffff8880 (&b->lock){+.+.}-{3:3}, at: foo_set+0x1/0x2
`),
    ).toBe("possible deadlock in foo_set");
  });

  it("who took a lock of the chain, where work took both", () => {
    expect(
      deadlock(`
ffff8880 ((work_completion)(&a->work)){+.+.}-{0:0}, at: process_one_work+0x1/0x2
but task is already holding lock:
ffff8880 ((wq_completion)foo){+.+.}-{0:0}, at: process_one_work+0x1/0x2
-> #1 ((wq_completion)foo){+.+.}-{0:0}:
       flush_workqueue+0x1/0x2
       foo_stop+0x1/0x2
`),
    ).toBe("possible deadlock in foo_stop");
  });

  it("none of the locks that happen to be held", () => {
    expect(
      deadlock(`
ffff8880 (&a->lock){+.+.}-{3:3}, at: lock_sock_nested+0x1/0x2
1 lock held by a.out/70:
 #0: ffff8880 (&b->lock){+.+.}-{3:3}, at: foo_open+0x1/0x2
Call Trace:
 lock_sock_nested+0x1/0x2
 foo_send+0x1/0x2
`),
    ).toBe("possible deadlock in foo_send");
  });

  it("nobody, where the report ends behind its first line: then that is the title", () => {
    expect(readFacts(["WARNING: possible circular locking dependency detected"]).title).toBe(
      "WARNING: possible circular locking dependency detected",
    );
  });
});
