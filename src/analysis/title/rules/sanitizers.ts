import type { Rule } from "../rule.js";

const ACCESS = /^(Read|Write) (?:of size|at addr)/;

/** Reports of the kernel's sanitizers (mm/kasan, mm/kmsan, mm/kfence, kernel/kcsan, lib/ubsan.c). */
export const sanitizerRules: readonly Rule[] = [
  {
    kind: "kasan",
    announces: /BUG: KASAN: (?:double-free|(?:double-free or )?invalid-free) in/,
    title: "KASAN: invalid-free in {frame}",
    blame: "trace",
    weight: 2,
  },
  {
    kind: "kasan",
    announces: /BUG: KASAN: ([a-z][a-z-]{1,60}) on address/,
    title: "KASAN: $1 {detail} {where}",
    detail: ACCESS,
    blame: "trace",
    weight: 2,
  },
  {
    kind: "kasan",
    announces: /BUG: KASAN: ([a-z][a-z-]{1,60}) in\b(?: (?<named>[\w.$]{1,200})\+0x)?/,
    title: "KASAN: $1 {detail} in {frame}",
    detail: ACCESS,
    blame: "trace",
    weight: 2,
  },
  {
    kind: "kmsan",
    announces: /BUG: KMSAN: ([a-z][a-z-]{1,60}) in/,
    title: "KMSAN: $1 in {frame}",
    blame: "trace",
    bare: true,
    weight: 2,
  },
  {
    kind: "kcsan",
    announces: /BUG: KCSAN: (data-race in [\w.]{1,200} \/ [\w.]{1,200})/,
    title: "KCSAN: $1",
    weight: 1,
  },
  {
    kind: "kcsan",
    announces: /BUG: KCSAN: (assert: race|data-race) in/,
    title: "KCSAN: $1 in {frame}",
    blame: "trace",
    bare: true,
    weight: 1,
  },
  {
    kind: "kfence",
    announces: /BUG: KFENCE: ([a-z][a-z -]{1,60}) in/,
    title: "KFENCE: $1 in {frame}",
    blame: "trace",
    bare: true,
    weight: 2,
  },
  {
    kind: "ubsan",
    announces: /UBSAN: Undefined behaviour in/,
    title: "UBSAN: undefined-behaviour in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "ubsan",
    announces: /UBSAN: ([a-z][a-z-]{1,60}) in/,
    title: "UBSAN: $1 in {frame}",
    blame: "trace",
    weight: 1,
  },
];
