import { log } from "./log.js";
import { trace } from "./trace.js";
import type { View } from "./view.js";

/** All views, in the order of the help. */
export const VIEWS: readonly View[] = [log, trace];
