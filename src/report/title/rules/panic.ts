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
    announces: /Kernel panic - not syncing: (?:kernel: )?Attempted to kill init!/,
    title: "kernel panic: Attempted to kill init!",
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
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: Fatal exception/,
    title: "kernel panic: Fatal exception",
    weight: 3,
  },
  {
    kind: "panic",
    announces: /Kernel panic - not syncing: (.{1,200})/,
    title: "kernel panic: {text}",
    weight: 3,
  },
];
