// The entry point of a daemon's process, which a supervisor or a service manager started.
import { type Confinement, Daemon } from "../daemon/index.js";
import { notify, passedDescriptors, withKept } from "../holder/index.js";
import { endWithParent } from "../native/index.js";
import { outputOf } from "./daemon-output.js";
import { warn } from "./errors.js";
import { endBySignal, onSignals, STOP_MS } from "./signals.js";
import type { DaemonStart } from "./supervised.js";

/** EX_TEMPFAIL of sysexits.h: whoever started this one is to start another. */
const REPLACED_STATUS = 75;

const start = JSON.parse(process.argv[2] ?? "") as DaemonStart;
const { settings, tell, managed } = start;
const confinement = JSON.parse(process.argv[3] ?? "") as Confinement;

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
const guests = withKept(settings.guests, passedDescriptors());
const { landlock } = confinement;
const daemon = new Daemon({ ...settings, guests, managed, landlock }, (event) => {
  if (event.kind === "ready") {
    if (tell.includes("confined") || landlock === 0) output({ kind: "confined", ...confinement });
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
await daemon.ended;
