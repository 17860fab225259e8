import { fileURLToPath } from "node:url";
import { systemReason } from "../os/errno.js";
import { replaceProcess } from "../os/index.js";
import { confineThread } from "../service/daemon/confinement.js";
import { forbiddenCall, type PassedDescriptor } from "../service/supervisor/index.js";
import { openControl } from "./control-socket.js";
import { UserError } from "./errors.js";
import type { DaemonStart } from "./supervised.js";

const entry = fileURLToPath(new URL("./daemon-process.js", import.meta.url));

/**
 * Confines this process and has it go on as a daemon's, with the descriptors that were passed to it, `others` and
 * the control socket besides 0 to 2. Node is executed anew for that: it has threads before it runs any of our code,
 * and a confinement is a thread's own. Throws UserError where the system forbids what serving takes.
 */
export function becomeDaemon(
  start: DaemonStart,
  passed: readonly PassedDescriptor[],
  others: readonly number[] = [],
): never {
  const forbidden = forbiddenCall();
  if (forbidden !== undefined) {
    throw new UserError(
      `${forbidden.syscall} is forbidden here (${systemReason(forbidden)}), and nothing can be served without it: ` +
        "allow it, in a container in its seccomp profile",
    );
  }
  const control = openControl(start.control, passed);
  const confinement = confineThread(start.settings.guests.map(({ directory }) => directory));
  // Node reads files for them that it can't be allowed to.
  process.env.OPENSSL_CONF = "/dev/null";
  delete process.env.NODE_EXTRA_CA_CERTS;
  const args = [entry, ...[start, confinement, control].map((one) => JSON.stringify(one))];
  const descriptors = new Set([...passed.map(({ fd }) => fd), ...others]);
  if ("fd" in control) descriptors.add(control.fd);
  replaceProcess(process.execPath, [...process.execArgv, ...args], [...descriptors]);
}
