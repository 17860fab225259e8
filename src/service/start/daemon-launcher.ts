// The entry point of the process that becomes a daemon's, which a supervisor started.

import { endWithParent } from "../../os/index.js";
import { UserError, warn } from "../errors.js";
import { outputOf } from "../log/output.js";
import { passedDescriptors } from "../supervisor/index.js";
import { becomeDaemon } from "./become-daemon.js";
import { type DaemonStart, readStart } from "./daemon-start.js";

endWithParent();
const start = readStart<DaemonStart>();
try {
  becomeDaemon(start, passedDescriptors());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  const { message } = error;
  warn(message, "error");
  if (start.tell.includes("failed"))
    outputOf(start)({ kind: "failed", code: "FORBIDDEN", message });
  process.exitCode = 1;
}
