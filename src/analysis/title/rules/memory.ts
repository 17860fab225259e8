import type { Rule } from "../rule.js";

/** kmemleak, and what the allocators find. */
export const memoryRules: readonly Rule[] = [
  {
    kind: "slab",
    // The text has the cache's name only up to Linux 6.14.
    announces: /^BUG (\S{1,64}) \((?:Not tainted|Tainted: .{1,40})\): Objects remaining /,
    title: "BUG: Objects remaining in {text} on __kmem_cache_shutdown()",
    weight: 2,
  },
  {
    kind: "slab",
    announces: /^BUG \S{1,64} \((?:Not tainted|Tainted: .{1,40})\): (?!kasan: )(.{1,80})/,
    title: "BUG: {text} {where}",
    blame: "trace",
    weight: 2,
  },
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
