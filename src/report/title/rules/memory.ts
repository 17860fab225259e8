import type { Rule } from "../rule.js";

/** kmemleak, and what the allocators find. */
export const memoryRules: readonly Rule[] = [
  {
    kind: "leak",
    announces: /BUG: memory leak$/,
    title: "memory leak in {frame}",
    blame: "trace",
    skip: /alloc|^kvasprintf/,
    unless: /^__kernfs/,
    weight: 1,
  },
];
