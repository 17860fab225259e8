import type { Rule } from "../rule.js";

/** What has no rule of its own is called what it calls itself. */
export const otherRules: readonly Rule[] = [
  {
    kind: "bug",
    announces: /unregister_netdevice: waiting for .{1,30} to become free/,
    title: "unregister_netdevice: waiting for DEV to become free",
    weight: 1,
  },
  { kind: "bug", announces: /^BUG: (.{1,120})/, title: "BUG: {text}", weight: 0 },
  {
    kind: "bug",
    announces: /^VFS: Busy inodes after unmount/,
    title: "VFS: Busy inodes after unmount (use-after-free)",
    weight: 1,
  },
  {
    kind: "bug",
    announces: /^VFS: Close: file count is (?:0|zero)/,
    title: "VFS: Close: file count is zero (use-after-free)",
    weight: 1,
  },
];
