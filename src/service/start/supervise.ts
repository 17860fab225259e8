import { fileURLToPath } from "node:url";
import type { DaemonEvent, DaemonSettings } from "../daemon/index.js";
import { UserError } from "../errors.js";
import { type DaemonEnd, FIRST_PASSED, Supervisor, socketName } from "../supervisor/index.js";
import { type DaemonStart, startArgument } from "./daemon-start.js";

const entry = fileURLToPath(new URL("./daemon-launcher.js", import.meta.url));

/** Runs the daemon as a child process with a supervisor; `start.settings` has this process's descriptors. */
export function supervise(
  start: Omit<DaemonStart, "managed">,
  output: (event: DaemonEvent) => void,
): Supervisor {
  const { guests } = start.settings;
  const settings: DaemonSettings = {
    ...start.settings,
    guests: guests.map((guest, i) => ({ ...guest, fd: FIRST_PASSED + i })),
  };
  return new Supervisor({
    command: process.execPath,
    args: [entry, startArgument({ ...start, settings, managed: false })],
    sockets: guests.map(({ name, fd }) => ({ name: socketName(name), fd })),
    onRestart: (former) => {
      output({ kind: "restarted", reason: reasonOf(former) });
    },
  });
}

const reasonOf = ({ status, signal }: DaemonEnd): string =>
  signal === "SIGSYS"
    ? `${signal}: a system call is forbidden`
    : (signal ?? `exit status ${status}`);

/** EX_TEMPFAIL of sysexits.h: whoever started this daemon is to start another. */
export const REPLACED_STATUS = 75;

/** Throws where the daemon's end is an error that the daemon itself didn't tell. */
export function expectGoodEnd(end: DaemonEnd): void {
  if (end.status !== null) {
    // There was none to start any more: it was told to stop in the same moment.
    process.exitCode = end.status === REPLACED_STATUS ? 0 : end.status;
    return;
  }
  throw new UserError(`the back-end died again and again (${reasonOf(end)}); it is given up`);
}
