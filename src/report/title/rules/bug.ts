import type { Rule } from "../report.js";

/** BUG(), and what else the kernel calls a bug of its own. */
export const bugRules: readonly Rule[] = [
  {
    kind: "bug",
    announces: /^rust_kernel: panicked at /,
    title: "{detail} in {frame}",
    detail: /^(.{1,100})$/,
    blame: "trace",
    weight: 2,
  },
  {
    kind: "bug",
    announces: /^kernel BUG at lib\/list_debug\.c/,
    title: "BUG: corrupted list in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "bug",
    announces: /^kernel BUG at mm\/usercopy\.c/,
    title: "BUG: bad usercopy in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "bug",
    announces: /^kernel BUG at /,
    title: "kernel BUG in {frame}",
    blame: "site",
    weight: 2,
  },
  {
    kind: "bug",
    announces: /BUG: sleeping function called from invalid context at /,
    title: "BUG: sleeping function called from invalid context in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "bug",
    announces: /BUG: using (\w{1,60}\(\)) in preemptible /,
    title: "BUG: using $1 in preemptible code in {frame}",
    blame: "trace",
    unless: /^radix_tree_node_alloc|^__bad_area_nosemaphore/,
    weight: 1,
  },
  {
    kind: "bug",
    announces: /BUG: scheduling while atomic: /,
    title: "BUG: scheduling while atomic in {frame}",
    blame: "trace",
    weight: 1,
  },
  {
    kind: "bug",
    announces: /BUG: workqueue leaked (?:lock or )?atomic|BUG: workqueue leaked/,
    title: "BUG: workqueue leaked lock or atomic in {detail}",
    detail: /last function: (\w{1,200})/,
    weight: 1,
  },
  {
    kind: "bug",
    announces: /BUG: Bad (page state|page map|rss-counter state|page cache)/,
    title: "BUG: Bad $1 in {frame}",
    blame: "trace",
    weight: 2,
  },
  {
    kind: "bug",
    announces: /BUG: Dentry \S{1,100} {1,4}still in use/,
    title: "BUG: Dentry still in use in unmount",
    weight: 2,
  },
  {
    kind: "bug",
    announces:
      /BUG: spinlock (bad magic|lockup suspected|recursion|already unlocked|wrong owner|wrong CPU)/,
    title: "BUG: spinlock $1 in {frame}",
    blame: "trace",
    weight: 2,
  },
];
