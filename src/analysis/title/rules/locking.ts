import type { Rule } from "../rule.js";

/** lockdep, and other debugging of locks (kernel/locking/lockdep.c, lib/debugobjects.c). */
export const lockingRules: readonly Rule[] = [
  {
    kind: "lockdep",
    announces: /-safe -> \S{1,40}-unsafe lock order detected/,
    title: "possible deadlock in {frame}",
    blame: "lock",
    first: /which became \S{1,40}-safe at:/,
    weight: 1,
  },
  {
    kind: "lockdep",
    announces:
      /(?:possible circular locking dependency|possible recursive locking|possible irq lock inversion dependency) detected/,
    title: "possible deadlock in {frame}",
    blame: "lock",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /inconsistent lock state/,
    title: "inconsistent lock state in {frame}",
    blame: "lock",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /(INFO|WARNING): suspicious RCU usage/,
    title: "$1: suspicious RCU usage in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /(BUG|WARNING): (bad unlock balance) detected/,
    title: "$1: $2 in {frame}",
    blame: "trace",
    bare: true,
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /(BUG|WARNING): (held lock freed)!/,
    title: "$1: $2 in {frame}",
    blame: "lock",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /(BUG|WARNING): .{1,60} (still has locks held)!/,
    title: "$1: $2 in {frame}",
    blame: "lock",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /(BUG|WARNING): (lock held when returning to user space)/,
    title: "$1: $2 in {frame}",
    blame: "lock",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /WARNING: Nested lock was not taken/,
    title: "WARNING: nested lock was not taken in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /BUG: Invalid wait context/,
    title: "WARNING: locking bug in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "lockdep",
    announces: /INFO: trying to register non-static key/,
    title: "INFO: trying to register non-static key in {frame}",
    blame: "trace",
    weight: 1,
  },
];
