// The entry point of a daemon's process, which a supervisor or a service manager started.

import { endWithParent } from "../../os/index.js";
import { type ControlCommand, ControlError, ControlServer } from "../control/index.js";
import { Daemon, type DaemonEvent, daemonMemory, daemonStatus } from "../daemon/index.js";
import { warn } from "../errors.js";
import { outputOf } from "../log/output.js";
import { endBySignal, onSignals, STOP_MS } from "../signals.js";
import {
  CONTROL_SOCKET,
  hold,
  letGo,
  notify,
  passedDescriptors,
  withSessions,
} from "../supervisor/index.js";
import { type ConfinedStart, readStart } from "./daemon-start.js";
import { REPLACED_STATUS } from "./supervise.js";

/** The event loop's thread has so long to say what it knows. */
const ANSWER_MS = 5000;
const BUSY = `the daemon serves its guests and found no time for more in ${ANSWER_MS / 1000} s: its disk may not answer`;

const start = readStart<ConfinedStart>();
const { settings, tell, managed, confinement, controlSocket: control } = start;

if (!managed) {
  endWithParent();
  try {
    notify(["STATUS=Starting"]);
  } catch {
    // It ended before that.
    process.exit(1);
  }
}
// Whoever read our output went away: no reason to end serving.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

// In place of a screen of JSON, in ps and systemctl status.
process.title = "virtio-pstore daemon";
// What is made without a mode of its own is for nobody else.
process.umask(0o077);

const output = outputOf(start);
const guests = withSessions(settings.guests, passedDescriptors());
// Last: a manager that has no room for one more refuses this one.
if ("fd" in control && control.isNew) {
  letGo(CONTROL_SOCKET);
  hold(CONTROL_SOCKET, control.fd);
}
const { landlock } = confinement;
const daemon = new Daemon({ ...settings, guests, managed, landlock }, (event) => {
  if (event.kind === "ready") {
    if (tell.includes("confined") || landlock === 0) output({ kind: "confined", ...confinement });
    if ("error" in control) output(noControl(start.control.path, control.error));
    notify(["READY=1"]);
  }
  if (event.kind === "failed") {
    warn(event.message, "error");
    process.exitCode = 1;
  }
  if (tell.includes(event.kind)) output(event);
  // What was told before is out: its sessions are the next daemon's.
  if (event.kind === "replaced") process.exit(REPLACED_STATUS);
});
onSignals(["SIGTERM", "SIGINT"], () => {
  notify(["STOPPING=1"]);
  daemon.stop();
  // Our supervisor sees to that itself.
  if (!managed) return;
  setTimeout(() => {
    warn("the disk didn't answer in time; ended without it", "error");
    endBySignal("SIGKILL");
  }, STOP_MS).unref();
});
const server = "fd" in control ? serveControl(control.fd) : undefined;
await daemon.ended;
server?.close();

function noControl(path: string, reason: string): DaemonEvent {
  const message = `nobody can ask this daemon: no socket can be made at ${path} (${reason}); name another with --control`;
  return { kind: "log", guest: "", level: "warn", code: "CONTROL", message, suppressed: 0 };
}

function serveControl(fd: number): ControlServer {
  return new ControlServer({
    fd,
    commands: new Map<string, ControlCommand>([
      ["status", async () => daemonStatus(await inTime(daemon.states()))],
      ["memory", async () => daemonMemory(await inTime(daemon.states()))],
    ]),
  });
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ControlError("BUSY", BUSY));
    }, ANSWER_MS);
    // A daemon that has ended answers nobody.
    timer.unref();
  });
  try {
    return await Promise.race([answer, over]);
  } finally {
    clearTimeout(timer);
  }
}
