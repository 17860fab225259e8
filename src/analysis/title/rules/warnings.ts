import type { Rule } from "../rule.js";

/**
 * WARN() as __warn() prints it (kernel/panic.c): up to Linux 6.16 `WARNING: CPU: 0 PID: 1 at file:1 func+0x1/0x2`,
 * then `WARNING: file:1 at func+0x1/0x2, CPU#0: comm/1`. With CONFIG_DEBUG_BUGVERBOSE_DETAILED its condition is
 * before the file, in brackets, and may hold some; it ends where the next message begins, so that a line of many
 * takes no longer.
 * @param file matches the file
 * @param where what has to follow, besides
 */
const warning = (file: string, where = ""): RegExp =>
  new RegExp(
    `WARNING: (?:(?:CPU: \\d{1,5} PID: (?<pid>-?\\d{1,10}) )?at )?(?:\\[(?:(?!WARNING: ).){1,200}?\\] )?${file}:\\d{1,7}(?: at)? ${where}(?:0x|(?<site>[\\w.$]{1,200})(?:\\+0x| \\S))`,
  );

export const warningRules: readonly Rule[] = [
  {
    kind: "warning",
    announces: warning("lib/debugobjects\\.c"),
    title: "WARNING: ODEBUG bug in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("lib/kobject\\.c"),
    title: "WARNING: kobject bug in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("mm/usercopy\\.c"),
    title: "WARNING: bad usercopy in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("lib/refcount\\.c"),
    title: "WARNING: refcount bug in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("kernel/locking/lockdep\\.c"),
    title: "WARNING: locking bug in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("fs/proc/generic\\.c"),
    title: "WARNING: proc registration bug in {frame}",
    blame: "site",
    skip: /^proc_/,
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("drivers/usb/core/urb\\.c"),
    title: "WARNING in {frame}/usb_submit_urb",
    blame: "site",
    skip: /^usb_submit_urb$/,
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("mm/(?:util|slab_common)\\.c", "(?=\\w{0,8}alloc)"),
    title: "WARNING: kmalloc bug in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("mm/vmalloc\\.c"),
    title: "WARNING: zero-size vmalloc in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces: warning("[\\w./<>-]{1,300}"),
    title: "WARNING in {frame}",
    blame: "site",
    weight: 1,
  },
  {
    kind: "warning",
    announces:
      /WARNING: kernel stack (regs|frame pointer) at .{1,80} has bad ((?:'\w{1,8}' )?value)/,
    title: "WARNING: kernel stack $1 has bad $2",
    weight: 1,
  },
];
