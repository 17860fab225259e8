import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readFacts } from "./index.js";

const facts = (text: string) => readFacts(text.split("\n"));

/** What Linux 6.1 prints for a NULL pointer on x86-64, at a kernel base that KASLR chose. */
const nullPointer = (base: string, seconds: number, cpu: number) =>
  `<6>[    1.000001] Linux version 6.1.0-56-cloud-amd64 (build@host) (gcc) #1 SMP
<1>[    ${seconds}.100000] BUG: kernel NULL pointer dereference, address: 0000000000000010
<1>[    ${seconds}.100001] #PF: supervisor write access in kernel mode
<4>[    ${seconds}.100002] Oops: 0002 [#1] PREEMPT SMP PTI
<4>[    ${seconds}.100003] CPU: ${cpu} PID: 92 Comm: my task Tainted: G           OE      6.1.0-56-cloud-amd64 #1  Debian 6.1
<4>[    ${seconds}.100004] RIP: 0010:foo_write.isra.0+0x1f/0x40 [foo]
<4>[    ${seconds}.100005] RSP: 0018:${base}000b7d80 EFLAGS: 00010246
<4>[    ${seconds}.100006] Call Trace:
<4>[    ${seconds}.100007]  <TASK>
<4>[    ${seconds}.100008]  ? die+0x20/0x70
<4>[    ${seconds}.100009]  bar_ioctl+0x10/0x20
<4>[    ${seconds}.100010]  __x64_sys_ioctl+0x90/0xd0
<4>[    ${seconds}.100011]  do_syscall_64+0x5b/0xc0
<4>[    ${seconds}.100012]  entry_SYSCALL_64_after_hwframe+0x64/0xce
<4>[    ${seconds}.100013]  </TASK>
<4>[    ${seconds}.100014] ---[ end trace 0000000000000000 ]---
<0>[    ${seconds}.200000] Kernel panic - not syncing: Fatal exception
<0>[    ${seconds}.200001] Kernel Offset: 0x${base}000 from 0xffffffff81000000`;

describe("readFacts", () => {
  it("titles a panic by the oops that led to it, and says who ran where", () => {
    expect(facts(nullPointer("ffffa1c4", 5, 1))).toMatchObject({
      title: "BUG: unable to handle kernel NULL pointer dereference in foo_write",
      kind: "oops",
      release: "6.1.0-56-cloud-amd64",
      taint: "GOE",
      cpu: 1,
      task: "my task",
      pid: 92,
    });
  });

  it("gives the same bug in two boots the same signature", () => {
    const { signature } = facts(nullPointer("ffffa1c4", 5, 1));
    expect(signature).toMatch(/^[0-9a-f]{16}$/);
    expect(facts(nullPointer("ffff9d55", 9, 0)).signature).toBe(signature);
  });

  it.each([
    ["suffixes of compilers", /foo_write\.isra\.0/g, "foo_write.constprop.3.cold"],
    ["padding", /foo_write\.isra\.0/g, "__pfx_foo_write.part.2"],
    ["frames that the unwinder isn't sure of", / \? die\+0x20\/0x70/g, " ? qux+0x1/0x2"],
    ["offsets", /\+0x\w{1,4}\/0x\w{1,4}/g, "+0x7/0x99"],
    ["who called", / bar_ioctl/g, " baz_ioctl"],
    ["the end of the trace", / {2}bar_ioctl[\s\S]*<\/TASK>/g, ""],
  ])("gives the same bug the same signature, whatever of these differs: %s", (_, from, to) => {
    const text = nullPointer("ffffa1c4", 5, 1);
    expect(text).toMatch(from);
    expect(facts(text.replace(from, to)).signature).toBe(facts(text).signature);
  });

  it.each([
    "INFO: task kworker/u8:0:92 blocked for more than 143 seconds.",
    "INFO: task kworker/u8:0:92 blocked in I/O wait for more than 143 seconds.",
    "INFO: task kworker/u8:0:92 can't die for more than 143 seconds.",
  ])("tells the task that hangs, not the one that found out: %s", (line) => {
    const text = `<3>[  200.000000] ${line}
<4>[  200.000001]       Tainted: G        W          6.12.0 #1
<4>[  200.000002] Call Trace:
<4>[  200.000003]  foo_wait+0x1/0x2
<0>[  200.000004] Kernel panic - not syncing: hung_task: blocked tasks
<4>[  200.000005] CPU: 1 UID: 0 PID: 31 Comm: khungtaskd Tainted: G        W          6.12.0 #1`;
    const expected = { task: "kworker/u8:0", pid: 92, cpu: 1, release: "6.12.0", taint: "GW" };
    expect(facts(text)).toMatchObject(expected);
  });

  it("gives the same bug on two disks the same signature", () => {
    const mount = (uuid: string) =>
      facts(
        `Kernel panic - not syncing: VFS: Unable to mount root fs on "UUID=${uuid}" or block(0,0)`,
      );
    const { title, signature } = mount("01234567-89ab-4cde-8f01-23456789abcd");
    expect(title).toBe(
      'kernel panic: VFS: Unable to mount root fs on "UUID=UUID" or block(NUM,NUM)',
    );
    expect(mount("FEDCBA98-7654-4321-0FED-CBA987654321").signature).toBe(signature);
  });

  it("titles a panic by its message where nothing led to it", () => {
    const text = "[    5.000000] Kernel panic - not syncing: sysrq triggered crash";
    expect(facts(text)).toMatchObject({
      title: "kernel panic: sysrq triggered crash",
      kind: "panic",
    });
  });

  it("finds nothing where there is nothing", () => {
    expect(facts("all is well\n")).toEqual({ title: "", signature: "", kind: "", frames: [] });
  });

  it("never throws, and its title is bounded", () => {
    const word = fc.constantFrom(
      ..."BUG: KASAN: WARNING: CPU: 0 PID: 1 at Call Trace: RIP: 0010: foo+0x1/0x2 [ 1.000000] <IRQ> ? panic".split(
        " ",
      ),
    );
    const line = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.array(word).map((words) => words.join(" ")),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const first = readFacts(lines);
        expect(first.title.length).toBeLessThanOrEqual(256);
        expect(first.frames.length).toBeLessThanOrEqual(64);
        expect(readFacts(lines)).toEqual(first);
      }),
    );
  });
});
