import { constants } from "node:os";
import { check } from "./check.js";
import { libc } from "./libc.js";

const PR_SET_PDEATHSIG = 1;

/** From now on the kernel kills this process when the one that started it is gone, however that ended. */
export function endWithParent(): void {
  check(libc.prctl(PR_SET_PDEATHSIG, constants.signals.SIGKILL, 0, 0, 0), "prctl");
}
