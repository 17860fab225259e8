import { cpus } from "./cpus.js";
import { log } from "./log.js";
import { stacks } from "./stacks.js";
import { tasks } from "./tasks.js";
import { trace } from "./trace.js";
import type { View } from "./view.js";
import { vmcore } from "./vmcore.js";

/** All views, in the order of the help. */
export const VIEWS: readonly View[] = [log, tasks, stacks, cpus, trace, vmcore];
