import { fileURLToPath } from "node:url";
import { systemReason } from "../../os/errno.js";
import { replaceProcess } from "../../os/index.js";
import { confineThread } from "../daemon/confinement.js";
import { UserError } from "../errors.js";
import { forbiddenCall, type PassedDescriptor } from "../supervisor/index.js";
import { openControl } from "./control-socket.js";
import { type ConfinedStart, type DaemonStart, startArgument } from "./daemon-start.js";

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
  const controlSocket = openControl(start.control, passed);
  const confinement = confineThread(start.settings.guests.map(({ directory }) => directory));
  // Node reads files for them that it can't be allowed to.
  process.env.OPENSSL_CONF = "/dev/null";
  delete process.env.NODE_EXTRA_CA_CERTS;
  const argument = startArgument<ConfinedStart>({ ...start, confinement, controlSocket });
  const descriptors = new Set([...passed.map(({ fd }) => fd), ...others]);
  if ("fd" in controlSocket) descriptors.add(controlSocket.fd);
  replaceProcess(process.execPath, [...process.execArgv, entry, argument], [...descriptors]);
}
