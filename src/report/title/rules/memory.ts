import type { Rule } from "../report.js";

/** kmemleak, and what the allocators find. */
export const memoryRules: readonly Rule[] = [
  {
    kind: "leak",
    announces: /BUG: memory leak$/,
    title: "memory leak in {frame}",
    blame: "trace",
    skip: /alloc/,
    unless: /^__kernfs/,
    weight: 1,
  },
];
