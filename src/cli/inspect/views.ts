import { cmdline } from "./cmdline.js";
import { cpus } from "./cpus.js";
import { locks } from "./locks.js";
import { log } from "./log.js";
import { memory } from "./memory.js";
import { modules } from "./modules.js";
import { mounts } from "./mounts.js";
import { report } from "./report.js";
import { stacks } from "./stacks.js";
import { tasks } from "./tasks.js";
import { trace } from "./trace.js";
import { uptime } from "./uptime.js";
import type { View } from "./view.js";
import { vmcore } from "./vmcore.js";
import { vmlinux } from "./vmlinux.js";

/** All views, in the order of the help. */
export const VIEWS: readonly View[] = [
  report,
  log,
  tasks,
  stacks,
  locks,
  cpus,
  trace,
  modules,
  mounts,
  memory,
  uptime,
  cmdline,
  vmcore,
  vmlinux,
];
