import type { Rule } from "../rule.js";

/** What we say of a guest that hangs (memory/hangs/hang-report.ts). */
export const hangRules: readonly Rule[] = [
  {
    kind: "hang",
    announces: /^virtio-pstore: hung: deadlock: (.{1,300}?): /,
    title: "deadlock: $1",
    weight: 3,
  },
  {
    kind: "hang",
    announces:
      /^virtio-pstore: hung: CPU (\d{1,5}) with interrupts off: (?<task>.{0,60}?):(?<pid>\d{1,10})$/,
    title: "hung: CPU $1 with interrupts off in {frame}",
    blame: "outer",
    headless: true,
    weight: 3,
  },
  {
    kind: "hang",
    announces: /^virtio-pstore: hung: CPU (\d{1,5}) stuck: (?<task>.{0,60}?):(?<pid>\d{1,10})$/,
    title: "hung: CPU $1 stuck in {frame}",
    blame: "outer",
    headless: true,
    weight: 3,
  },
  {
    kind: "hang",
    announces: /^virtio-pstore: hung: workqueue ((?:in|before) [^:]{1,200}): /,
    title: "workqueue hung $1",
    weight: 3,
  },
  {
    kind: "hang",
    announces: /^virtio-pstore: hung: task (?<task>.{0,60}?):(?<pid>\d{1,10}) blocked$/,
    title: "task hung in {frame}",
    blame: "trace",
    headless: true,
    weight: 3,
  },
];
