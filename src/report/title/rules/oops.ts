import type { Rule } from "../rule.js";

/** Exceptions in the kernel (arch/x86/mm/fault.c, arch/x86/kernel/traps.c, arch/arm64/mm/fault.c). */
export const oopsRules: readonly Rule[] = [
  {
    kind: "oops",
    announces:
      /(?:BUG: unable to handle kernel NULL pointer dereference|BUG: kernel NULL pointer dereference|Unable to handle kernel NULL pointer dereference)/,
    title: "BUG: unable to handle kernel NULL pointer dereference in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces:
      /(?:BUG: unable to handle (?:kernel paging request|page fault for address)|Unable to handle kernel (?:paging request|read from unreadable memory|write to read-only memory|execut\w* (?:of|from) \S+ memory|access to user memory))/,
    title: "BUG: unable to handle kernel paging request in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /general protection fault.{0,80}: [0-9a-f]{4,16} \[#\d/,
    title: "general protection fault in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /^(?:Oops: )?divide[ _]error: /,
    title: "divide error in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /^(?:Oops: )?stack segment: /,
    title: "stack segment fault in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /^(?:Oops: )?int3: /,
    title: "int3 in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /BUG: (?:\w+ )?stack guard page was hit/,
    title: "BUG: stack guard page was hit in {frame}",
    blame: "outer",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /^(?:traps: )?PANIC: double fault\b/,
    title: "PANIC: double fault in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "oops",
    announces: /^double fault: /,
    title: "PANIC: double fault in {frame}",
    blame: "site",
    weight: 2,
    continues: true,
  },
  {
    kind: "oops",
    announces: /^(?:Oops: )?invalid opcode: /,
    title: "invalid opcode in {frame}",
    blame: "site",
    weight: 2,
    continues: true,
  },
  {
    kind: "oops",
    announces: /^Internal error: /,
    title: "Internal error in {frame}",
    blame: "site",
    weight: 2,
    continues: true,
  },
  {
    kind: "oops",
    announces: /^(?:Oops|kernel stack overflow \(double-fault\)|stack guard page): /,
    title: "Oops in {frame}",
    blame: "site",
    weight: 2,
    continues: true,
  },
];
