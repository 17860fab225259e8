// The entry point of the process that becomes a daemon's, which a supervisor started.

import { endWithParent } from "../os/index.js";
import { passedDescriptors } from "../service/supervisor/index.js";
import { becomeDaemon } from "./become-daemon.js";
import { outputOf } from "./daemon-output.js";
import { UserError, warn } from "./errors.js";
import type { DaemonStart } from "./supervised.js";

endWithParent();
const start = JSON.parse(process.argv[2] ?? "") as DaemonStart;
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
