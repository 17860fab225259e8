import { readFileSync } from "node:fs";
import { until } from "./patience.js";

/** SO_ACCEPTCON: listen(2) was called, and not bind(2) alone. */
const LISTENS = "00010000";

/** Waits until somebody listens at a Unix socket's path; connects to nobody. `log` is told where none ever does. */
export const listening = (path: string, log: () => string): Promise<void> =>
  until(
    () =>
      readFileSync("/proc/net/unix", "utf8")
        .split("\n")
        .some((line) => line.split(" ")[3] === LISTENS && line.endsWith(` ${path}`)),
    () => `nobody listens at ${path}: ${log()}`,
  );
