import type { Rule } from "../rule.js";

/** panic() (kernel/panic.c). */
export const panicRules: readonly Rule[] = [
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: kernel stack overflow/,
    title: "kernel stack overflow in {frame}",
    blame: "outer",
    weight: 3,
  },
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: corrupted stack end detected inside scheduler/,
    title: "kernel panic: corrupted stack end in {frame}",
    blame: "outer",
    weight: 3,
  },
  {
    kind: "panic",
    announces:
      /Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: (?:(?<site>[\w.]{1,200})\+0x)?/,
    title: "kernel panic: stack is corrupted in {frame}",
    blame: "site",
    weight: 3,
  },
  {
    kind: "panic",
    announces:
      /Kernel panic - not syncing: (?:kernel: )?Attempted to kill init!(?: (exitcode=0x[0-9a-f]{8}))?/,
    title: "kernel panic: Attempted to kill init! $1",
    weight: 3,
  },
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: BUG!$/,
    title: "kernel BUG in {frame}",
    blame: "trace",
    weight: 3,
  },
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: CFI failure \(/,
    title: "CFI failure in {frame}",
    blame: "trace",
    weight: 3,
  },
  // Of user-mode-linux (arch/um/kernel/trap.c).
  {
    kind: "panic",
    announces:
      /Kernel panic - not syncing: (Kernel mode (?:fault|signal)|Kernel tried to access user memory|Segfault with (?:no mm|pagefaults disabled))/,
    title: "kernel panic: $1 in {frame}",
    blame: "site",
    before: true,
    weight: 3,
  },
  // Where these name the crash, what led to them is cut off.
  {
    kind: "panic",
    announces:
      /Kernel panic - not syncing: (?:.{0,30}: )?(Fatal exception|Attempted to kill the idle task|Aiee, killing interrupt handler|Oopsed too often|panic_on_warn set|(?:system )?[Ww]arned too often)/,
    title: "kernel panic: $1 {where}",
    blame: "site",
    before: true,
    weight: 3,
  },
  {
    kind: "panic",
    announces:
      /Kernel panic - not syncing: (?:.{0,30}: )?(softlockup: hung tasks|Hard LOCKUP|RCU Stall)/,
    title: "kernel panic: $1 {where}",
    blame: "outer",
    before: true,
    weight: 3,
  },
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: (.{1,200})/,
    title: "kernel panic: {text}",
    weight: 3,
  },
];
