import type { Rule } from "../rule.js";

/** Tasks and CPUs that don't get on (kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h). */
export const stallRules: readonly Rule[] = [
  {
    kind: "hung-task",
    announces:
      /(?:INFO: task (?<task>.{1,60}?)|\S):(?<pid>\d{1,10}) blocked (?:in I\/O wait )?for more than \d{1,10} seconds/,
    title: "INFO: task hung in {frame}",
    blame: "trace",
    skip: /^rcu_barrier/,
    headless: true,
    weight: 1,
  },
  {
    kind: "hung-task",
    announces:
      /INFO: task (?<task>.{1,60}?):(?<pid>\d{1,10}) can't die for more than \d{1,10} seconds/,
    title: "INFO: task can't die in {frame}",
    blame: "trace",
    headless: true,
    weight: 1,
  },
  {
    kind: "rcu-stall",
    announces: /INFO: rcu_\w{1,30} (?:self-)?detected (?:expedited )?stalls? on/,
    title: "INFO: rcu detected stall in {frame}",
    blame: "outer",
    weight: 1,
  },
  {
    kind: "soft-lockup",
    announces: /BUG: soft lockup - /,
    title: "BUG: soft lockup in {frame}",
    blame: "outer",
    weight: 1,
  },
  {
    kind: "workqueue-lockup",
    announces: /BUG: workqueue lockup - /,
    title: "BUG: workqueue lockup",
    weight: 1,
  },
  {
    kind: "hard-lockup",
    announces:
      /Watchdog detected hard LOCKUP on cpu|self-detected hard LOCKUP @ (?:(?<site>[\w.$]{1,200})\+0x)?|detected hard LOCKUP on other CPUs/,
    title: "BUG: hard lockup in {frame}",
    blame: "outer",
    weight: 2,
  },
];
