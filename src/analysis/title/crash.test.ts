import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.trim().split("\n"));

describe("which report names the crash", () => {
  const by = (task: string, time: number, text: string) => `[   10.${time}][${task}] ${text}`;
  const lockdep = [
    by("   T7", 100000, "WARNING: Nested lock was not taken"),
    by("   T7", 100001, "ffff8880 (&a->lock){+.+.}-{3:3}, at: _raw_spin_lock+0x1/0x2"),
  ];
  const fault = (task: string, time: number) => [
    by(task, time, "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
    by(task, time, "RIP: 0010:__lock_acquire+0x1/0x2"),
    by(task, time, "Call Trace:"),
    by(task, time, " foo_lock+0x1/0x2"),
  ];

  it("what a task's oops follows at once, which even shows whom to blame", () => {
    expect(facts([...lockdep, ...fault("   T7", 200000)].join("\n")).title).toBe(
      "WARNING: nested lock was not taken in foo_lock",
    );
  });

  it("the oops, if it is another task's", () => {
    expect(facts([...lockdep, ...fault("   T8", 200000)].join("\n")).title).toMatch(
      /NULL pointer dereference in foo_lock$/,
    );
  });

  it("the oops of the task that panics over it, not one that comes in between", () => {
    const text = [
      by("   T7", 100000, "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
      by("   T7", 100001, "RIP: 0010:foo_write+0x1/0x2"),
      by("   T7", 100002, "---[ end trace 0000000000000000 ]---"),
      ...fault("   T8", 100003),
      by("   T7", 100004, "Kernel panic - not syncing: Fatal exception"),
    ];
    expect(facts(text.join("\n")).title).toMatch(/ in foo_write$/);
  });

  it("a panic of its own, not the warning of the same task", () => {
    const text = [...lockdep, by("   T7", 200000, "Kernel panic - not syncing: foo is gone")];
    expect(facts(text.join("\n")).title).toBe("kernel panic: foo is gone");
  });

  it("the warning, though lines without a time stand before its panic", () => {
    const text = [warning(90), "a program's words", panic(90, "panic_on_warn set ...")];
    expect(facts(text.join("\n")).title).toBe("WARNING in foo_warn");
  });

  const oops = (time: number, name: string) =>
    `[ ${time}.000000] BUG: kernel NULL pointer dereference, address: 0000000000000010
[ ${time}.000001] Oops: 0002 [#1] SMP
[ ${time}.000002] RIP: 0010:${name}+0x1/0x2
[ ${time}.000003] ---[ end trace 0000000000000000 ]---`;
  const warning = (time: number) =>
    `[ ${time}.000000] WARNING: CPU: 0 PID: 7 at lib/foo.c:1 foo_warn+0x1/0x2`;
  const panic = (time: number, message: string) =>
    `[ ${time}.000000] Kernel panic - not syncing: ${message}`;

  it.each([
    ["the last oops, not the one before", [oops(10, "a"), oops(20, "b")], / in b$/],
    ["the last oops, also when they follow closely", [oops(10, "a"), oops(11, "b")], / in b$/],
    ["the oops, not a later warning", [oops(10, "a"), warning(30)], / in a$/],
    ["the oops, not an earlier warning", [warning(10), oops(11, "a")], / in a$/],
    [
      "the oops that a panic follows",
      [warning(5), oops(10, "a"), panic(10, "Fatal exception")],
      / in a$/,
    ],
    [
      "the warning that a panic follows, not an older oops",
      [oops(10, "a"), warning(90), panic(90, "panic_on_warn set ...")],
      /^WARNING in foo_warn$/,
    ],
    [
      "a panic of its own, not what was before",
      [oops(10, "a"), panic(11, "sysrq triggered crash")],
      /^kernel panic: sysrq triggered crash$/,
    ],
    [
      "nothing that comes after the panic",
      [warning(5), panic(5, "panic_on_warn set"), oops(6, "a")],
      /^WARNING/,
    ],
  ])("%s", (_, parts, title) => {
    expect(facts(parts.join("\n")).title).toMatch(title);
  });
});
