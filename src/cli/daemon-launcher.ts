// The entry point of the process that becomes a daemon's, which a supervisor started.
import { passedDescriptors } from "../holder/index.js";
import { endWithParent } from "../native/index.js";
import { becomeDaemon } from "./become-daemon.js";
import type { DaemonStart } from "./supervised.js";

endWithParent();
becomeDaemon(
  JSON.parse(process.argv[2] ?? "") as DaemonStart,
  passedDescriptors().map(({ fd }) => fd),
);
